"""GitHub's own OpenAPI description, from the npm package `@octokit/openapi`, and what of the fake does not fit it.

It is fetched once (npm.py), cut down to the operations of the fake, kept in the cache folder and never committed.
Requests must fit as they are. Answers hold only the fields that Ostro may read: what they hold must fit and be
described, what is left out is left out on purpose.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

from tests.forge.fake.answer import Answer, Ask
from tests.forge.fake.npm import cache_folder, fetched_member

PACKAGE, VERSION = "@octokit/openapi", "23.0.2"
MEMBER = "package/generated/api.github.com.json"

KNOWN_DEVIATIONS: frozenset[str] = frozenset()
"""What the fake does other than described, and GitHub too."""


class Description:
    """The operations of the fake as GitHub describes them."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def compare(self, ask: Ask, answer: Answer) -> list[str]:
        """Return a line for each thing that does not fit."""
        name = f"{ask.method} {answer.route}"
        if not answer.route:
            return [] if answer.status in (401, 404) else [f"{ask.method} {ask.path}: no such route"]
        operation = self._data["paths"].get(answer.route, {}).get(ask.method.lower())
        if operation is None:
            return [f"{name}: not described"]
        told = [f"{name}: {line}" for line in self._asked(ask, operation) + self._answered(answer, operation)]
        return [line for line in told if line not in KNOWN_DEVIATIONS]

    def _asked(self, ask: Ask, operation: dict[str, Any]) -> list[str]:
        described = {self._resolved(entry)["name"] for entry in operation.get("parameters", ())}
        told = [f"parameter {name} is not described" for name in ask.query if name not in described]
        body = self._resolved(operation.get("requestBody", {}))
        schema = body.get("content", {}).get("application/json", {}).get("schema")
        if ask.body is None:
            return [*told, "the body is missing"] if body.get("required") else told
        if schema is None:
            return [*told, "a body that is not described"]
        return told + self._unfit(ask.body, schema, whole=True)

    def _answered(self, answer: Answer, operation: dict[str, Any]) -> list[str]:
        responses = operation["responses"]
        if str(answer.status) not in responses:
            return [] if answer.status in (401, 403, 404) else [f"status {answer.status} is not described"]
        found = self._resolved(responses[str(answer.status)])
        schema = found.get("content", {}).get("application/json", {}).get("schema")
        return [] if schema is None else self._unfit(answer.value, schema, whole=False)

    def _unfit(self, value: Any, schema: dict[str, Any], *, whole: bool) -> list[str]:
        root = {"components": self._data["components"], **schema}
        validator = OAS30Validator(root)
        told: list[str] = []
        for error in validator.iter_errors(value):
            told += self._worst(error, whole=whole)
        return told + [f"{'.'.join(path)} is not described" for path in self._undescribed(value, schema, ())]

    def _worst(self, error: Any, *, whole: bool) -> list[str]:
        """Return what is wrong; a missing field of an answer is not."""
        if error.context:
            branches: dict[int, list[str]] = {}
            for inner in error.context:
                branches.setdefault(inner.schema_path[0], []).extend(self._worst(inner, whole=whole))
            return min(branches.values(), key=len)
        if error.validator == "required" and not whole:
            return []
        return [f"{'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message[:200]}"]

    def _undescribed(self, value: Any, schema: dict[str, Any], path: tuple[str, ...]) -> list[tuple[str, ...]]:
        choices = self._choices(schema)
        if isinstance(value, list):
            inner = [choice["items"] for choice in choices if "items" in choice]
            return [bad for entry in value[:3] for bad in self._least(entry, inner, (*path, "[]"))] if inner else []
        if not isinstance(value, dict):
            return []
        objects = [choice for choice in choices if "properties" in choice]
        if not objects or any(choice.get("additionalProperties") for choice in choices):
            return []
        told: list[tuple[str, ...]] = []
        for key, entry in value.items():
            known = [choice["properties"][key] for choice in objects if key in choice["properties"]]
            told += self._least(entry, known, (*path, key)) if known else [(*path, key)]
        return told

    def _least(self, value: Any, schemas: list[dict[str, Any]], path: tuple[str, ...]) -> list[tuple[str, ...]]:
        return min((self._undescribed(value, schema, path) for schema in schemas), key=len, default=[])

    def _choices(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        schema = self._resolved(schema)
        found = [schema]
        for word in ("anyOf", "oneOf", "allOf"):
            found += [inner for entry in schema.get(word, ()) for inner in self._choices(entry)]
        return found

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            target: Any = self._data
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node


@functools.cache
def github_description() -> Description:
    """Return the description, fetching it where it is not in the cache.

    Raises:
        RuntimeError: npm is missing or cannot fetch it.
    """
    path = cached()
    if not path.exists():
        _fetch(path)
    return Description(json.loads(path.read_text("utf-8")))


def cached() -> Path:
    wanted = sorted(f"{method} {template}" for template, methods in _wanted().items() for method in methods)
    return cache_folder() / f"github-{VERSION}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]}.json"


def _wanted() -> dict[str, set[str]]:
    from tests.forge.fake.github import ROUTES

    wanted: dict[str, set[str]] = {"/user": {"get"}}
    for method, template, _, _ in ROUTES:
        wanted.setdefault(template, set()).add(method.lower())
    return wanted


def _fetch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        whole = json.loads(fetched_member(PACKAGE, VERSION, MEMBER, Path(scratch)))
        slim = Path(scratch) / "slim.json"
        slim.write_text(json.dumps(_pruned(whole)), "utf-8")
        slim.rename(path)


def _pruned(whole: dict[str, Any]) -> dict[str, Any]:
    """Keep the operations of the fake and what they refer to."""
    paths = {
        template: {method: whole["paths"][template][method] for method in methods}
        for template, methods in _wanted().items()
        if template in whole["paths"]
    }
    slim: dict[str, Any] = {"paths": paths, "components": {}}
    todo: list[Any] = [paths]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            node.pop("examples", None)
            node.pop("example", None)
            todo += node.values()
            name = node.get("$ref")
            if isinstance(name, str):
                _, kind, key = name.removeprefix("#/").split("/")
                if key not in slim["components"].setdefault(kind, {}):
                    slim["components"][kind][key] = whole["components"][kind][key]
                    todo.append(slim["components"][kind][key])
    return slim
