"""Options that several commands share. The names and meanings of `settings_options` are a contract for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

_SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "endpoint": click.option("--endpoint", metavar="URL", help="Base URL or catalogued name of the endpoint."),
    "model": click.option("--model", metavar="ID", help="Model id as the endpoint knows it."),
    "price": click.option("--price", metavar="IN,OUT", help="Dollars per million tokens; 0,0 for a local model."),
    "sandbox": click.option(
        "--sandbox", type=click.Choice(["auto", "docker", "local", "none"]), help="Where commands run."
    ),
    "image": click.option("--image", metavar="NAME", help="Image of the sandbox."),
    "setup": click.option("--setup", metavar="CMD", multiple=True, help="Prepare the environment; repeatable."),
    "test": click.option("--test", metavar="CMD", help="Command that tests the repository; '' for none."),
    "budget": click.option("--budget", type=float, metavar="USD", help="Most dollars for the whole call."),
    "steps": click.option("--steps", type=int, metavar="N", help="Most model replies."),
    "time": click.option("--time", type=float, metavar="S", help="Most seconds for the whole call."),
    "tokens": click.option("--tokens", type=int, metavar="N", help="Most input and output tokens together."),
    "max_tokens": click.option("--max-tokens", type=int, metavar="N", help="Longest single reply, tokens."),
    "temperature": click.option("--temperature", type=float, metavar="T", help="Sampling temperature, 0 to 2."),
    "tools": click.option("--tools", metavar="NAME,NAME", help="Tools that the model gets; all by default."),
    "attempts": click.option("--attempts", type=int, metavar="K", help="Independent tries; the best one is kept."),
    "skip_preflight": click.option(
        "--skip-preflight", is_flag=True, default=None, help="Start even where a preflight check fails."
    ),
}
MODEL_FLAGS = ("endpoint", "model", "price")
SANDBOX_FLAGS = ("sandbox", "image", "setup")


def settings_options(*names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add the flags that set a field of `Settings`: all of them, or those named."""

    def add(command: Callable[P, R]) -> Callable[P, R]:
        for name in reversed(names or tuple(_SETTINGS)):
            command = _SETTINGS[name](command)
        return command

    return add


def settings_flags(values: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings out of a command's values; None where a flag was not given."""
    return {name: value or None if name == "setup" else value for name, value in values.items() if name in _SETTINGS}


def examples(*lines: str) -> str:
    """Return the closing text of a help page; the first character keeps click from filling the lines."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


output_option = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What stdout holds."
)


def print_json(data: object) -> None:
    """Print the one JSON object of a command."""
    click.echo(json.dumps(data, ensure_ascii=False, default=str))
