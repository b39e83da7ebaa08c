"""Make a text that strangers wrote fit to be shown to a model: sanitise it once, fence it wherever it is shown.

forge/issue -> sanitise -> agent/task -> fence -> a message. `sanitise` takes out what a person reading the rendered
issue would not see, and reports each removal with its line. `Fence` marks the rest as data and disarms the control
tokens of chat templates; it is reversible, so that what the model quotes back can be restored exactly. A fence is no
boundary: every limit of a run must hold with a model that obeys the text.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from dataclasses import dataclass, field

from ostro.agent.hidden_text import Removal, RemovalKind, strip_hidden

MAX_BYTES = 64 * 1024
READ_TIMES = 4
"""So many times `MAX_BYTES` characters are looked at; the rest counts as left out."""
SHOWN_LINES = 5

_NAMES: dict[RemovalKind, str] = {
    "ansi": "terminal escape sequence",
    "control": "control character",
    "bidi": "text direction mark",
    "tag": "hidden tag character",
    "variation_selector": "variation selector",
    "invisible": "invisible character",
    "html_comment": "HTML comment",
    "hidden_element": "hidden HTML element",
    "attribute": "HTML attribute with text",
    "image_alt": "image description",
    "link_title": "link title",
    "link_definition": "unused link definition",
    "link_label": "hidden link label",
    "disguised_link": "disguised link",
    "data_uri": "data URI",
    "private_use": "private-use text",
}


@dataclass(frozen=True)
class Sanitised:
    """A text without what a reader would not see, and the report.

    Attributes:
        left_out_bytes: UTF-8 bytes cut off at the end, because of `MAX_BYTES`.
    """

    text: str
    removals: tuple[Removal, ...] = ()
    left_out_bytes: int = 0

    def counts(self) -> dict[RemovalKind, int]:
        """Return how many of each kind."""
        total: Counter[RemovalKind] = Counter()
        for removal in self.removals:
            total[removal.kind] += removal.count
        return dict(total)

    def notices(self, what: str) -> tuple[str, ...]:
        """Return one line for each kind that was removed, naming the lines, for the person who started the run."""
        told: list[str] = []
        for kind, count in self.counts().items():
            if kind in _NAMES:
                lines = sorted({removal.line for removal in self.removals if removal.kind == kind})
                places = ", ".join(map(str, lines[:SHOWN_LINES])) + (", ..." if len(lines) > SHOWN_LINES else "")
                plural, where = "s" if count > 1 else "", "lines" if len(lines) > 1 else "line"
                told.append(f"{count} {_NAMES[kind]}{plural} removed from the {what} ({where} {places}).")
        if self.left_out_bytes:
            told.append(f"The {what} is cut at {MAX_BYTES // 1024} KB; {self.left_out_bytes} bytes were left out.")
        return tuple(told)


def sanitise(text: str, *, max_bytes: int = MAX_BYTES) -> Sanitised:
    """Take out what a person reading the rendered Markdown would not see; code stays as it is, but for invisibles."""
    whole = re.sub(r"\r\n?", "\n", text)
    shown, removals = strip_hidden(whole[: max_bytes * READ_TIMES])
    unread = len(whole[max_bytes * READ_TIMES :].encode("utf-8", "replace"))
    kept, left_out = _cut(shown, max_bytes, unread)
    return Sanitised(text=kept, removals=removals, left_out_bytes=left_out)


def _cut(text: str, max_bytes: int, unread_bytes: int) -> tuple[str, int]:
    encoded = text.encode("utf-8")
    kept = encoded[:max_bytes].decode("utf-8", "ignore")
    left_out = len(encoded) - len(kept.encode("utf-8")) + unread_bytes
    return (f"{kept}\n\n[... {left_out} bytes of this text were left out ...]\n", left_out) if left_out else (kept, 0)


_MISTRAL = (
    r"/?(?:INST|AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT|TOOL_CONTENT|TOOL_CALLS|MODEL_SETTINGS|THINK)\]"
    r"|(?:ARGS|CALL_ID|IMG|IMG_BREAK|IMG_END|PREFIX|MIDDLE|SUFFIX|AUDIO|BEGIN_AUDIO|TRANSCRIBE|REPEAT_AUDIO)\]"
)
_ANGLED = (
    r"/?s>|(?:unk|pad|bos|eos)>|SPECIAL_\d+>|[|\uff5c][^\s<>|\uff5c]{1,40}[|\uff5c]>|</?SYS>>|(?:start|end)_of_turn>"
    r"|/?(?:tool_call|tool_response|tools|think|tool_use|tool_result|function_calls|function_results)>"
    r"|/?(?:function|parameter)(?:=|>)|/?invoke[ >]|/?untrusted-[0-9a-f]"
)
_TOKEN = re.compile(rf"(?P<open>\[)(?P<armour>\\*)(?={_MISTRAL})|(?P<open2><)(?P<armour2>\\*)(?={_ANGLED})")
"""The opening bracket of a control token of a chat template, or of our own fence, with backslashes behind it.

Mistral's from mistral-common (tokens v1 to v13), the others from the templates of ChatML, Llama, Gemma, DeepSeek.
"""


def neutralise(text: str) -> str:
    r"""Disarm control tokens: `[INST]` becomes `[\INST]`, `[\INST]` becomes `[\\INST]`. `restore` takes it back."""
    return _TOKEN.sub(lambda match: match[0] + "\\", text)


def restore(text: str) -> str:
    """Take back what `neutralise` did; a text that it never saw stays as it is, unless it looks disarmed."""
    return _TOKEN.sub(lambda match: match[0].removesuffix("\\"), text)


@dataclass(frozen=True)
class Fence:
    """Marks text as data, with delimiters that its author could not know.

    Attributes:
        nonce: 16 hexadecimal digits, new for each run and kept in its manifest.
    """

    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    def fence(self, text: str, *, source: str) -> str:
        """Return `text` between delimiters, its control tokens disarmed.

        Args:
            text: anything; a delimiter in it is disarmed too.
            source: who it is from, for the model: "issue", "AGENTS.md".
        """
        name = re.sub(r"[^\w .:/#-]", "_", source)
        return f'<untrusted-{self.nonce} source="{name}">\n{neutralise(text)}\n</untrusted-{self.nonce}>'

    def unfence(self, fenced: str) -> str:
        """Return the text that `fence` was given.

        Raises:
            ValueError: it is not a text that this fence made.
        """
        head = re.match(rf'<untrusted-{self.nonce} source="[^"\n]*">\n', fenced)
        tail = f"\n</untrusted-{self.nonce}>"
        if head is None or not fenced.endswith(tail) or head.end() > len(fenced) - len(tail):
            raise ValueError("this text was not fenced by this run")
        return restore(fenced[head.end() : len(fenced) - len(tail)])
