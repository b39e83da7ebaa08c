"""`ostro config`: every setting, its effective value and where that came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.options import examples, output_option, print_json, settings_flags, settings_options
from ostro.cli.terminal import DIM, one_line, paint, wants_color

if TYPE_CHECKING:
    from pydantic import JsonValue


@click.command(
    epilog=examples(
        "ostro config",
        "ostro config --repo . --output json",
    ),
)
@click.option("--repo", type=click.Path(path_type=Path), help="Also read this repository's ostro.toml.")
@settings_options()
@output_option
def command(repo: Path | None, output: str, **values: object) -> int:
    """Show every setting, its value and where it came from.

    Later wins: defaults, the user's file, the repository's ostro.toml or [tool.ostro], OSTRO_* variables, flags.
    """
    import sys

    from ostro.agent.config import Settings
    from ostro.agent.config_sources import load

    found = load(repo, settings_flags(values))
    shown = found.settings.model_dump(mode="json")
    if output == "json":
        rows = {key: {"value": value, "origin": found.origins[key]} for key, value in shown.items()}
        print_json({"schema": 1, "settings": rows, "warnings": found.warnings})
        return 0
    color = wants_color(sys.stdout)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    for key, value in shown.items():
        meaning = Settings.model_fields[key].description or ""
        click.echo(f"{key:<16} {one_line(text_of(value), 40):<41} {found.origins[key]}")
        click.echo(paint(f"{'':<16} {meaning}", DIM, on=color))
    return 0


def text_of(value: JsonValue) -> str:
    """Write a value as a configuration file would hold it."""
    if value is None:
        return "(unset)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(text_of(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {text_of(item)}" for key, item in value.items()) + "}"
    return repr(value) if isinstance(value, str) else str(value)
