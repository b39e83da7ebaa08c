"""`ostro models`: the catalogue, and which endpoints have a key here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ostro.cli.options import examples, output_option, print_json

if TYPE_CHECKING:
    from ostro.agent.model.catalogue import Catalogue
    from ostro.agent.model.profile import EndpointProfile, ModelEntry


@click.command(
    epilog=examples(
        "ostro models",
        "ostro models --endpoint mistral --output json",
    ),
)
@click.option("--endpoint", metavar="NAME", help="Only this endpoint.")
@output_option
def command(endpoint: str | None, output: str) -> int:
    """List the models, endpoints, prices and key variables that are known.

    Any OpenAI-compatible base URL works as --endpoint too; give --price with it. Prices are dollars per million
    tokens. A catalogue.toml beside your configuration file adds to the list or corrects it.
    """
    from ostro.agent.model.catalogue import find_endpoint, load_catalogue, user_files

    catalogue = load_catalogue(user_files(os.environ))
    names = [find_endpoint(endpoint, catalogue).name] if endpoint else list(catalogue.endpoints)
    if output == "json":
        print_json({"schema": 1, "endpoints": [_row(catalogue, name) for name in names]})
        return 0
    for name in names:
        click.echo("\n".join([*_lines(catalogue, name), ""]))
    return 0


def key_variable(profile: EndpointProfile) -> str:
    """Return the variable that holds a key of this endpoint now, "" when none does."""
    return next((name for name in profile.key_variables if os.environ.get(name, "").strip()), "")


def _row(catalogue: Catalogue, name: str) -> dict[str, object]:
    profile = catalogue.endpoints[name]
    return {
        "name": name,
        "label": profile.label,
        "base_url": profile.base_url,
        "key_variables": profile.key_variables,
        "key_set": bool(key_variable(profile)),
        "models": [entry.model_dump(mode="json") for entry in catalogue.entries(name)],
    }


def _lines(catalogue: Catalogue, name: str) -> list[str]:
    profile = catalogue.endpoints[name]
    found = key_variable(profile)
    key = f"key in {found}" if found else f"no key; set {' or '.join(profile.key_variables)}"
    lines = [f"{name}: {profile.label}, {profile.base_url} ({'no key needed' if profile.local else key})"]
    lines += [_line(entry) for entry in catalogue.entries(name)]
    return lines + ([f"  start one: {profile.recipe}"] if profile.recipe else [])


def _line(entry: ModelEntry) -> str:
    price = entry.price
    notes = ["vision"] if entry.vision else []
    if entry.retired:
        notes.append(f"retired {entry.retired}")
    elif entry.deprecated:
        notes.append(f"deprecated since {entry.deprecated}")
    notes += [f"use {entry.replacement}"] if entry.replacement else []
    figures = f"{entry.context // 1024:>5}K  ${price.input:g} in, ${price.output:g} out"
    return f"  {entry.id:<36} {figures:<30} {', '.join(notes)}".rstrip()
