"""Exact token counts, where the vocabulary is installed: tiktoken with the Tekken file that mistral-common ships.

mistral-common itself is never imported (a second, and 170 MB with its dependencies); only its data file is read.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ostro.agent.model.loose import items, mapping, string

if TYPE_CHECKING:
    import tiktoken

VOCABULARY_FILE = "data/tekken_240911.json"
SPECIAL_TOKENS = 1000
"""Ranks below are control tokens; the vocabulary's own begin there (mistral-common, Tekkenizer)."""

CountText = Callable[[str], int]


def exact_counter() -> CountText | None:
    """Return the function that counts a text's tokens; None where tiktoken or the vocabulary is not installed.

    The vocabulary is loaded by the first count, which takes half a second.
    """
    path = _vocabulary()
    if path is None or importlib.util.find_spec("tiktoken") is None:
        return None
    return lambda text: len(_load(path).encode_ordinary(text))


@functools.cache
def _vocabulary() -> Path | None:
    found = importlib.util.find_spec("mistral_common")
    for place in (found.submodule_search_locations or []) if found is not None else []:
        path = Path(place, VOCABULARY_FILE)
        if path.is_file():
            return path
    return None


@functools.cache
def _load(path: Path) -> tiktoken.Encoding:
    import tiktoken

    data = mapping(json.loads(path.read_bytes()))
    config = mapping(data["config"])
    size = int(config["default_vocab_size"]) - SPECIAL_TOKENS
    entries = [mapping(entry) for entry in items(data["vocab"])[:size]]
    ranks = {base64.b64decode(string(entry["token_bytes"])): int(entry["rank"]) for entry in entries}
    return tiktoken.Encoding("tekken", pat_str=string(config["pattern"]), mergeable_ranks=ranks, special_tokens={})
