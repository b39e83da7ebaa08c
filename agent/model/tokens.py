"""How many tokens a prompt has: exactly where the vocabulary is installed, else estimated, and corrected by the server.

Counts are kept per message, so a turn costs only its new messages. The structure (what a role, a call, the tools
cost besides their text) is that of Mistral's tokenizer v13, checked token by token against mistral-common.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ostro.agent.history import Image, Message, ToolMessage, UserMessage
from ostro.agent.model.estimate import estimate
from ostro.agent.model.incremental import BlockCache, same_messages
from ostro.agent.model.loose import items, mapping, string
from ostro.agent.model.profile import Target
from ostro.agent.model.vocabulary import CountText, exact_counter
from ostro.agent.model.wire import WireMessage

IMAGE_PATCH = 28
"""Pixels of an image's side for one token: patches of 14, two merged (model card of Devstral Small 2)."""
MAX_IMAGE_SIDE = 1540
"""Pixels of the longest side after the server's own resizing."""
CHARS_PER_TOKEN = 3
"""Of text that is not at hand any more: an answer that was cut off. Rather too many tokens than too few."""
LEARNING_RATE = 0.3
MOST_CORRECTION = 2.0
"""A server whose count is further off than this counts something else."""


class _Measured(NamedTuple):
    messages: Sequence[Message]
    tools: Sequence[WireMessage]
    counted: int
    reported: int


class TokenCounter:
    """Counts the prompts of one conversation.

    Attributes:
        exact: whether texts are counted with the model's own vocabulary.
        correction: what the server counts for one token of ours; an average over its reports.
    """

    def __init__(self, target: Target, count_text: CountText | None = None) -> None:
        known = exact_counter() if count_text is None and target.model.tokenizer else count_text
        self.exact = known is not None
        self.correction = 1.0
        self._count_text = known or estimate
        self._vision = target.model.vision
        self._blocks: BlockCache[int] = BlockCache(target.profile, self._block, vision=target.model.vision)
        self._tools: tuple[Sequence[WireMessage], int] = ((), 0)
        self._measured = _Measured((), (), 0, 0)

    def count_text(self, text: str) -> int:
        """Return the tokens of a text, not corrected."""
        return self._count_text(text)

    def count_chars(self, chars: int) -> int:
        """Return about how many tokens so many characters are."""
        return -(-chars // CHARS_PER_TOKEN)

    def count_prompt(self, messages: Iterable[Message], tools: Sequence[WireMessage] = ()) -> int:
        """Return the tokens of a prompt as the server would count them.

        Where the server has counted its beginning, only the rest is ours.
        """
        history = list(messages)
        ours = self.structural(history, tools)
        known = self._measured
        if known.reported and known.tools is tools and same_messages(known.messages, history[: len(known.messages)]):
            return known.reported + max(0, round((ours - known.counted) * self.correction))
        return round(ours * self.correction)

    def structural(self, messages: Iterable[Message], tools: Sequence[WireMessage] = ()) -> int:
        """Return our own count of a prompt, without what was learned from the server."""
        return 1 + self._of_tools(tools) + sum(self._blocks.values(messages))

    def learn(self, messages: Iterable[Message], tools: Sequence[WireMessage], reported: int) -> None:
        """Take in how many tokens the server counted for this prompt."""
        history = list(messages)
        ours = self.structural(history, tools)
        ratio = min(MOST_CORRECTION, max(1 / MOST_CORRECTION, reported / max(1, ours)))
        first = not self._measured.reported
        self.correction += (1.0 if first else LEARNING_RATE) * (ratio - self.correction)
        self._measured = _Measured(history, tools, ours, reported)

    def _of_tools(self, tools: Sequence[WireMessage]) -> int:
        if not tools:
            return 0
        if self._tools[0] is not tools:
            self._tools = (tools, 2 + self._count_text(json.dumps(tools, ensure_ascii=False)))
        return self._tools[1]

    def _block(self, block: Sequence[Message], rendered: Sequence[WireMessage]) -> int:
        return sum(map(self._message, rendered)) + (image_tokens(_images(block)) if self._vision else 0)

    def _message(self, message: WireMessage) -> int:
        text = _text(message["content"])
        if message["role"] != "assistant":
            return 2 + self._count_text(text)
        calls = [mapping(mapping(call)["function"]) for call in items(message.get("tool_calls"))]
        written = self._count_text(text.rstrip(" ")) if text else 0
        return 1 + written + sum(2 + self._call(string(c["name"]), string(c["arguments"])) for c in calls)

    def _call(self, name: str, arguments: str) -> int:
        return self._count_text(name) + self._count_text(arguments)


def image_tokens(images: Iterable[Image]) -> int:
    """Return what images cost: one token a patch and one a row, after resizing to `MAX_IMAGE_SIDE`."""
    return sum(_image(image.width, image.height) for image in images)


def _image(width: int, height: int) -> int:
    shrink = max(1.0, max(width, height) / MAX_IMAGE_SIDE)
    columns = math.ceil(width / shrink / IMAGE_PATCH)
    return math.ceil(height / shrink / IMAGE_PATCH) * (columns + 1)


def _images(block: Sequence[Message]) -> Iterable[Image]:
    return (image for m in block if isinstance(m, UserMessage | ToolMessage) for image in m.images)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(string(mapping(part).get("text")) for part in items(content))
