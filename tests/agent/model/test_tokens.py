"""Counts: exact ones against mistral-common's own encoder, estimates against exact ones, and the server's word."""

from __future__ import annotations

import difflib
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from mistral_common.protocol.instruct import request as mistral_request
from mistral_common.tokens.tokenizers import mistral
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from ostro.agent.history import (
    AssistantMessage,
    Image,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    call_id,
)
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.estimate import estimate
from ostro.agent.model.tokens import TokenCounter, image_tokens
from ostro.agent.model.vocabulary import exact_counter
from ostro.agent.model.wire import render

TARGET = resolve("devstral-small-2", "vercel")
PIECE = 8000
STDLIB = Path(os.__file__).parent


PARAMETERS = {"type": "object", "properties": {"command": {"type": "string", "description": "A shell command."}}}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "bash", "description": "Run a command.", "parameters": PARAMETERS}}
]


@pytest.fixture(scope="module")
def exact() -> Callable[[str], int]:
    counter = exact_counter()
    assert counter is not None, "the development environment has mistral-common and tiktoken"
    return counter


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The vocabulary that mistral-common ships, tagged v13 as Devstral Small 2 is."""
    data = json.loads((Path(mistral_common.__file__).parent / "data/tekken_240911.json").read_text())
    special: list[dict[str, Any]] = [dict(token) for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    named = {32: "[ARGS]", 33: "[CALL_ID]"}
    special += [
        {"rank": rank, "token_str": named.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
        for rank in range(len(special), 34)
    ]
    data["special_tokens"] = special
    data["config"]["version"] = "v13"
    path = tmp_path_factory.mktemp("tokenizer") / "tekken.json"
    path.write_text(json.dumps(data))
    tokenizers: Any = mistral
    return tokenizers.MistralTokenizer.from_file(path)


def transcript(turns: int, seed: int = 1) -> list[Message]:
    rng = random.Random(seed)
    source = (STDLIB / "argparse.py").read_text()
    messages: list[Message] = [SystemMessage(text="You mend code."), UserMessage(text="Größe is wrong ✗ in a.py\n")]
    for turn in range(turns):
        start = rng.randrange(len(source) - 3000)
        made = tuple(
            ToolCall(id=call_id(turn, i), name="bash", arguments={"command": source[start : start + 80], "timeout": i})
            for i in range(rng.randint(0, 2))
        )
        messages.append(AssistantMessage(text="" if made and turn % 2 else "Look at this. ", calls=made))
        messages += [ToolMessage(call_id=c.id, name=c.name, text=source[start : start + 2000]) for c in made]
        if not made or turn % 5 == 0:
            messages.append(UserMessage(text="Go on."))
    return messages


@pytest.mark.parametrize("seed", range(5))
def test_exact_count_when_compared_with_the_full_encoder_then_equal(encoder: Any, seed: int) -> None:
    messages = transcript(15, seed)
    wire: Any = render(messages, TARGET.profile)
    requests: Any = mistral_request
    request = requests.ChatCompletionRequest.from_openai(messages=wire, tools=TOOLS)
    expected = len(encoder.encode_chat_completion(request).tokens)
    assert TokenCounter(TARGET).structural(messages, TOOLS) == expected


def pieces(texts: Iterator[str], most: int = 40) -> list[str]:
    found: list[str] = []
    for text in texts:
        middle = max(0, (len(text) - PIECE) // 2)
        piece = text[middle : middle + PIECE]
        if len(piece) > 1000:
            found.append(piece)
        if len(found) == most:
            break
    return found


def sources(pattern: str, folder: Path = STDLIB) -> Iterator[str]:
    for path in sorted(folder.glob(pattern)):
        yield path.read_text(errors="replace")


def diffs() -> Iterator[str]:
    for text in sources("*.py"):
        lines = text.splitlines(keepends=True)
        changed = [line.replace("self", "this") if number % 40 == 0 else line for number, line in enumerate(lines)]
        yield "".join(difflib.unified_diff(lines, changed, "a/x.py", "b/x.py"))


def greps() -> Iterator[str]:
    for word in ("def ", "import", "return", "raise", "self."):
        hits = [
            f"./{path.name}:{number}:{line}"
            for path in sorted(STDLIB.glob("*.py"))[:60]
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
            if word in line
        ]
        text = "\n".join(hits)
        yield from (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def listings() -> Iterator[str]:
    folders = [STDLIB, *sorted(path for path in STDLIB.iterdir() if path.is_dir())]
    lines = [
        f"-rw-r--r--  1 root root {path.stat().st_size:7} Nov 12 2025 {path.name}"
        for folder in folders
        for path in sorted(folder.iterdir())
    ]
    text = "\n".join(lines)
    yield from (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def locks() -> Iterator[str]:
    rng = random.Random(3)
    for _ in range(10):
        yield "\n".join(
            f'[[package]]\nname = "package-{rng.randrange(99)}"\nversion = "{rng.randrange(9)}.{rng.randrange(99)}.0"\n'
            f'    {{ file = "p-1.0-py3-none-any.whl", hash = "sha256:{rng.randbytes(32).hex()}" }},'
            for _ in range(60)
        )


def records() -> Iterator[str]:
    found = sorted(STDLIB.glob("*.py"))
    for paths in (found[start : start + 25] for start in range(0, len(found), 25)):
        rows = [
            {"path": f"lib/{path.name}", "size": path.stat().st_size, "lines": path.read_text(errors="replace")[:200]}
            for path in paths
        ]
        yield json.dumps({"schema": 1, "files": rows}, indent=2)


CORPORA: dict[str, Callable[[], Iterator[str]]] = {
    "python": lambda: sources("*.py"),
    "tests": lambda: sources("**/*test*.py"),
    "prose": lambda: sources("**/*.txt"),
    "diff": diffs,
    "grep": greps,
    "listing": listings,
    "lock": locks,
    "json": records,
}


@pytest.mark.parametrize("kind", list(CORPORA))
def test_estimate_when_compared_with_the_vocabulary_then_95_of_100_within_15_percent(
    kind: str, exact: Callable[[str], int]
) -> None:
    found = pieces(CORPORA[kind]())
    assert found
    errors = sorted(abs(estimate(text) / exact(text) - 1) for text in found)
    assert errors[int(0.95 * (len(errors) - 1))] <= 0.15
    assert statistics.median(errors) <= 0.12


def test_estimate_when_a_text_is_empty_or_tiny_then_at_least_what_it_is() -> None:
    assert estimate("") == 0
    assert estimate("x") == 1
    assert estimate("1234567890") >= 9


def test_counter_when_a_message_is_added_then_only_it_is_counted_and_quickly() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return estimate(text)

    messages = transcript(10)
    counter = TokenCounter(TARGET, count)
    counter.count_prompt(messages, TOOLS)
    counted.clear()
    messages.append(AssistantMessage(calls=(ToolCall(id="abcdefghi", name="bash", arguments={}),)))
    messages.append(ToolMessage(call_id="abcdefghi", name="bash", text=(STDLIB / "ast.py").read_text()[:PIECE]))
    begun = time.process_time()
    counter.count_prompt(messages, TOOLS)
    assert len(counted) <= 4
    assert time.process_time() - begun < 0.05


def test_counter_when_the_server_reports_then_later_counts_follow_it() -> None:
    messages = transcript(6)
    counter = TokenCounter(TARGET, estimate)
    ours = counter.count_prompt(messages, TOOLS)
    counter.learn(messages, TOOLS, round(ours * 1.2))
    assert counter.count_prompt(messages, TOOLS) == round(ours * 1.2)
    assert counter.correction == pytest.approx(1.2, rel=0.01)
    longer = [*messages, UserMessage(text="word " * 500)]
    assert counter.count_prompt(longer, TOOLS) > round(ours * 1.2) + 500
    other = counter.count_prompt([SystemMessage(text="word " * 1000), UserMessage(text="t")], ())
    assert other > 1100


def test_counter_when_the_server_reports_nonsense_then_the_correction_is_bounded() -> None:
    counter = TokenCounter(TARGET, estimate)
    counter.learn([UserMessage(text="t")], (), 10_000_000)
    assert counter.correction == 2.0


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(640, 480, 432), (1024, 768, 1064), (1280, 720, 1222), (1920, 1080, 1736), (4000, 4000, 3080)],
)
def test_image_tokens_when_counted_then_as_the_model_card_says(width: int, height: int, tokens: int) -> None:
    image = Image(media_type="image/png", data_base64="", width=width, height=height)
    assert image_tokens([image]) == tokens
