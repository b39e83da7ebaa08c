"""The schemas that every prompt carries: small, stable, and in step with the code."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ostro.sandbox.protocol import DEFAULT_TIMEOUT_S
from ostro.tools.git import LOG_ENTRIES
from ostro.tools.registry import MAX_TOOLS, Toolset, function_schema, signature
from ostro.tools.search import MAX_MATCHES

MAX_SCHEMA_TOKENS = 900


COMMON = "mistral_common"
"""Imported by name: its types are only partly known to a strict checker."""


@pytest.fixture(scope="module")
def devstral(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tokenizer of Devstral Small 2: the newest vocabulary of mistral-common, tagged as version 13."""
    package: Any = import_module(COMMON)
    tekken: Any = import_module(f"{COMMON}.tokens.tokenizers.tekken")
    vocabulary = Path(package.__file__).parent / "data" / "tekken_240911.json"
    content: dict[str, Any] = json.loads(vocabulary.read_text())
    special: list[dict[str, Any]] = [dict(token) for token in tekken.Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    named = {32: "[ARGS]", 33: "[CALL_ID]"}
    special += [
        {"rank": rank, "token_str": named.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
        for rank in range(len(special), 34)
    ]
    content["special_tokens"], content["config"]["version"] = special, "v13"
    target = tmp_path_factory.mktemp("tokenizer") / "tekken.json"
    target.write_text(json.dumps(content))
    return import_module(f"{COMMON}.tokens.tokenizers.mistral").MistralTokenizer.from_file(target)


def count(tokenizer: Any, tools: list[Any] | None) -> int:
    request: Any = import_module(f"{COMMON}.protocol.instruct.request").ChatCompletionRequest
    messages = [{"role": "user", "content": "x"}]
    return len(tokenizer.encode_chat_completion(request.from_openai(messages=messages, tools=tools)).tokens)


@pytest.mark.parametrize("vision", [False, True])
def test_schemas_when_counted_by_the_models_tokenizer_then_stay_below_900(devstral: Any, vision: bool) -> None:
    schemas = Toolset.default(vision=vision).schemas()
    assert count(devstral, schemas) - count(devstral, None) < MAX_SCHEMA_TOKENS


def test_tools_when_counted_then_are_at_most_8() -> None:
    assert len(Toolset.default(vision=True).names) <= MAX_TOOLS
    assert set(Toolset.default(vision=True).names) - set(Toolset.default(vision=False).names) == {"view_image"}


def test_schemas_when_made_twice_then_are_the_same_bytes() -> None:
    first, second = (json.dumps(Toolset.default(vision=True).schemas()) for _ in range(2))
    assert first == second


def test_schemas_when_read_then_have_no_titles_references_or_bounds() -> None:
    text = json.dumps(Toolset.default(vision=True).schemas())
    for word in ("title", "$defs", "$ref", "anyOf", "additionalProperties", "minLength", "default", "null"):
        assert f'"{word}"' not in text


def test_schema_of_plan_when_read_then_has_its_items_inlined() -> None:
    plan = Toolset.default(vision=False).get("plan")
    assert plan is not None
    items: Any = function_schema(plan)["function"]
    assert items["parameters"]["properties"]["items"]["items"]["properties"]["status"]["enum"] == [
        "pending",
        "in_progress",
        "done",
    ]


def test_describe_when_tool_is_known_then_is_one_line_with_types() -> None:
    toolset = Toolset.default(vision=False)
    assert toolset.describe("bash") == "bash(command: string, timeout?: number, background?: boolean)"
    assert toolset.describe("search").endswith('kind?: "text" | "file" | "symbol")')
    assert "view_range?: list of integer" in toolset.describe("str_replace_editor")
    assert toolset.describe("nothing") == ""
    for name in toolset.names:
        tool = toolset.get(name)
        assert tool is not None
        assert "\n" not in signature(tool)
        assert toolset.describe(name) == signature(tool)


def test_get_when_name_is_unknown_then_is_none() -> None:
    assert Toolset.default(vision=False).get("view_image") is None


@pytest.mark.parametrize(
    ("name", "number"),
    [("bash", f"{DEFAULT_TIMEOUT_S:g} s"), ("search", f"{MAX_MATCHES} results"), ("git", f"{LOG_ENTRIES} entries")],
)
def test_description_when_it_names_a_number_then_it_is_the_one_of_the_code(name: str, number: str) -> None:
    tool = Toolset.default(vision=True).get(name)
    assert tool is not None
    function: Any = function_schema(tool)["function"]
    assert number in function["description"]


@pytest.mark.parametrize("name", Toolset.default(vision=True).names)
def test_description_when_read_then_every_digit_comes_from_the_code(name: str) -> None:
    tool = Toolset.default(vision=True).get(name)
    assert tool is not None
    function: Any = function_schema(tool)["function"]
    text: str = function["description"]
    for value in tool.description_values.values():
        text = text.replace(str(value), "")
    assert not any(character.isdigit() for character in text)


def test_description_of_bash_when_the_limit_is_configured_then_names_it() -> None:
    tool = Toolset.default(vision=False, command_timeout_s=300).get("bash")
    assert tool is not None
    function: Any = function_schema(tool)["function"]
    assert "300 s" in function["description"]
