"""Render the templates of this room: the only place where words for a model are put together.

Called by agent/ (system prompt, task, corrections) and by tools/ (descriptions, review). Templates are package data,
compiled once; a value that a template needs and does not get is an error, never an empty string.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = "ostro.prompts"
TOOLS_FOLDER = "tools"


def render(template: str, /, **values: object) -> str:
    """Return the text of `template` (a name such as `system.j2`) with `values` filled in, without outer blank lines.

    Raises:
        jinja2.UndefinedError: a value that the template uses is missing.
        jinja2.TemplateNotFound: there is no such template.
    """
    return _environment().get_template(template).render(values).strip()


def describe_tool(name: str, /, **values: object) -> str:
    """Return the description of a tool, from `prompts/tools/<name>.md`, as the model reads it."""
    return render(f"{TOOLS_FOLDER}/{name}.md", **values)


def template_names() -> list[str]:
    """Return the names of all templates, sorted: those of messages and those of tools."""
    root = files(PACKAGE)
    messages = [entry.name for entry in root.iterdir() if entry.name.endswith(".j2")]
    tools = [f"{TOOLS_FOLDER}/{entry.name}" for entry in (root / TOOLS_FOLDER).iterdir() if entry.name.endswith(".md")]
    return sorted(messages + tools)


def prompts_digest() -> str:
    """Return the sha256 over all templates: the prompt hash of a run's manifest."""
    digest = hashlib.sha256()
    for name in template_names():
        source = _source(name) or ""
        digest.update(f"{name}\0{len(source)}\0{source}".encode())
    return digest.hexdigest()


def _source(name: str) -> str | None:
    entry = files(PACKAGE).joinpath(*name.split("/"))
    return entry.read_text(encoding="utf-8") if entry.is_file() else None


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  # the output is plain text for a model, never HTML
    )
