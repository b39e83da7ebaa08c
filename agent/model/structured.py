"""A reply in a given shape: `response_format: json_schema` from a pydantic model, validated, with a plain fall-back.

For texts around a run (title and body of a pull request), not for tool calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from ostro.agent.errors import ModelError
from ostro.agent.history import Message, UserMessage
from ostro.agent.model.client import ModelClient
from ostro.agent.model.loose import is_array, is_object
from ostro.agent.model.reply import Reply

Shape = TypeVar("Shape", bound=BaseModel)

MAX_TOKENS = 1024
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Structured(Generic[Shape]):
    """What came of asking.

    Attributes:
        value: the validated answer, None where the model gave none: the caller has a plain text of its own.
        replies: the replies that were paid for.
        plain: the endpoint refused the schema and was asked in words.
    """

    value: Shape | None
    replies: tuple[Reply, ...] = ()
    plain: bool = False


def ask(
    client: ModelClient,
    messages: Sequence[Message],
    shape: type[Shape],
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    deadline_s: float | None = None,
) -> Structured[Shape]:
    """Ask for one answer in the form of `shape`.

    Args:
        client: where to ask.
        messages: a conversation that ends with the question.
        shape: a model of plain fields; every field is required of the model, as strict schemas want it.
        max_tokens: longest reply.
        temperature: sampling temperature.
        deadline_s: seconds for each of at most two questions.

    Raises:
        ModelError: the endpoint failed, other than by refusing the schema.
        Interrupted: the run is to stop.
    """
    schema = strict_schema(shape)
    # The word JSON must be in the prompt: without it some servers send blanks until the token limit.
    wanted = f"Answer with one JSON object that follows this schema, and nothing else:\n{json.dumps(schema)}"
    asked = [*messages, UserMessage(text=wanted)]
    format_: dict[str, JsonValue] = {
        "type": "json_schema",
        "json_schema": {"name": shape.__name__, "strict": True, "schema": schema},
    }
    plain = False
    try:
        reply = client.complete(
            asked, max_tokens=max_tokens, temperature=temperature, deadline_s=deadline_s, response_format=format_
        )
    except ModelError as error:
        if error.model_kind not in ("invalid", "template"):
            raise
        plain = True
        reply = client.complete(asked, max_tokens=max_tokens, temperature=temperature, deadline_s=deadline_s)
    return Structured(read(reply.text, shape), (reply,), plain)


def read(text: str, shape: type[Shape]) -> Shape | None:
    """Return the first JSON object in the text that fits; None when there is none."""
    candidates = [text, *_FENCED.findall(text), text[text.find("{") : text.rfind("}") + 1]]
    for candidate in candidates:
        try:
            return shape.model_validate_json(candidate)
        except ValidationError:
            continue
    return None


def strict_schema(shape: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the schema as strict mode wants it: no titles, nothing optional, nothing else allowed."""
    strict = _strict(shape.model_json_schema())
    assert isinstance(strict, dict)
    return strict


def _strict(node: JsonValue) -> JsonValue:
    if is_array(node):
        return [_strict(item) for item in node]
    if not is_object(node):
        return node
    slim: dict[str, JsonValue] = {}
    for key, value in node.items():
        if key in ("properties", "$defs") and is_object(value):
            slim[key] = {name: _strict(field) for name, field in value.items()}
        elif key not in ("title", "default"):
            slim[key] = _strict(value)
    if slim.get("type") == "object":
        fields = slim.get("properties")
        slim["required"] = list(fields) if isinstance(fields, dict) else []
        slim["additionalProperties"] = False
    return slim
