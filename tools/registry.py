"""The set of tools that a run offers: their schemas for the endpoint, and their lookup for the intake.

Toolsets are configuration, so that another flavour can be measured. Schemas are byte-stable, for a changed byte at the
head of the prompt costs the endpoint's whole cache, and short, for they are paid for in every call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import cast

from pydantic import JsonValue

from ostro.prompts.render import describe_tool
from ostro.sandbox.protocol import DEFAULT_TIMEOUT_S
from ostro.tools.bash import bash_tool
from ostro.tools.editor import EDITOR
from ostro.tools.git import GIT
from ostro.tools.plan import PLAN
from ostro.tools.protocol import AnyTool
from ostro.tools.search import SEARCH
from ostro.tools.submit import SUBMIT
from ostro.tools.view_image import VIEW_IMAGE

MAX_TOOLS = 8

# What validates arguments here costs tokens there and tells a model nothing that the error message would not.
_DROPPED = frozenset(
    {
        "title",
        "default",
        "additionalProperties",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    }
)

Schema = dict[str, JsonValue]


class Toolset:
    """An ordered, immutable set of tools.

    Usage:
        toolset = Toolset.default(vision=False)
        request["tools"] = toolset.schemas()
        tool = toolset.get("bash")
    """

    def __init__(self, tools: Iterable[AnyTool]) -> None:
        self._tools: dict[str, AnyTool] = {tool.name: tool for tool in tools}

    @classmethod
    def default(cls, vision: bool, *, command_timeout_s: float = DEFAULT_TIMEOUT_S) -> Toolset:
        """Return the standard tools; `view_image` only for a model with vision.

        Args:
            vision: whether the model takes images.
            command_timeout_s: the default limit that the description of bash names.
        """
        images = [VIEW_IMAGE] if vision else []
        return cls([bash_tool(command_timeout_s), EDITOR, SEARCH, GIT, PLAN, *images, SUBMIT])

    def only(self, names: Iterable[str]) -> Toolset:
        """Return the tools of these names, in the order of the schemas; `submit` is always among them."""
        wanted = {*names, SUBMIT.name}
        return Toolset(tool for tool in self._tools.values() if tool.name in wanted)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools, in the order of the schemas."""
        return tuple(self._tools)

    def get(self, name: str) -> AnyTool | None:
        """Return the tool of that exact name, None when there is none."""
        return self._tools.get(name)

    def schemas(self) -> list[Schema]:
        """Return the tools in the OpenAI function format, the same bytes each time."""
        return list(self._schemas)

    @cached_property
    def _schemas(self) -> list[Schema]:
        return [function_schema(tool) for tool in self._tools.values()]

    def describe(self, name: str) -> str:
        """Return the expected arguments of a tool in one line, for error messages; "" for an unknown name.

        Example: `bash(command: string, timeout?: number, background?: boolean)`.
        """
        tool = self._tools.get(name)
        return signature(tool) if tool else ""


def function_schema(tool: AnyTool) -> Schema:
    """Return one tool in the OpenAI function format, its argument schema reduced to what a model needs."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": describe_tool(tool.name, **tool.description_values),
            "parameters": parameters_schema(tool),
        },
    }


def parameters_schema(tool: AnyTool) -> Schema:
    """Return the JSON schema of a tool's arguments: definitions inlined, titles, defaults and bounds dropped."""
    schema = cast("Schema", tool.args.model_json_schema())
    definitions = cast("Mapping[str, JsonValue]", schema.pop("$defs", {}))
    schema.pop("description", None)
    return cast("Schema", _reduce(schema, definitions))


def _reduce(value: JsonValue, definitions: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, list):
        return [_reduce(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target = definitions[str(value["$ref"]).rsplit("/", 1)[-1]]
        inlined = {key: item for key, item in cast("Schema", target).items() if key != "description"}
        return _reduce(inlined, definitions)
    if "anyOf" in value:
        return _reduce(_without_null(value), definitions)
    return {
        key: _properties(item, definitions) if key == "properties" else _reduce(item, definitions)
        for key, item in value.items()
        if key not in _DROPPED
    }


def _properties(value: JsonValue, definitions: Mapping[str, JsonValue]) -> JsonValue:
    """Reduce the schemas of named properties; a property may be called `title` or `default`."""
    return {name: _reduce(item, definitions) for name, item in cast("Schema", value).items()}


def _without_null(value: Schema) -> Schema:
    """Return `anyOf: [X, null]`, which pydantic makes of an optional argument, as X."""
    branches = [branch for branch in cast("list[Schema]", value["anyOf"]) if branch.get("type") != "null"]
    others = {key: item for key, item in value.items() if key != "anyOf"}
    return {**branches[0], **others} if len(branches) == 1 else {**others, "oneOf": cast("JsonValue", branches)}


def signature(tool: AnyTool) -> str:
    """Return `name(argument: type, optional?: type)`."""
    schema = parameters_schema(tool)
    required = cast("list[str]", schema.get("required", []))
    properties = cast("Mapping[str, Schema]", schema["properties"])
    arguments = [
        f"{name}{'' if name in required else '?'}: {_type_of(argument)}" for name, argument in properties.items()
    ]
    return f"{tool.name}({', '.join(arguments)})"


def _type_of(schema: Schema) -> str:
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in cast("list[str]", schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type_of(cast('Schema', schema.get('items', {})))}"
    if "properties" in schema:
        fields = cast("Mapping[str, Schema]", schema["properties"])
        return "{" + ", ".join(f"{name}: {_type_of(field)}" for name, field in fields.items()) + "}"
    return str(schema.get("type", "any"))
