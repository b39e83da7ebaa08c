"""Which models and endpoints there are, as data: catalogue.toml, overridden by the user's own file.

`resolve` turns the three flags --model, --endpoint and --price into a `Target`, or says what is wrong with them.
Nothing is read at import, and nothing is ever fetched at start.
"""

from __future__ import annotations

import difflib
import functools
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from ostro.agent.errors import ConfigError, UsageError
from ostro.agent.model.loose import is_object
from ostro.agent.model.profile import (
    GENERIC_KEY_VARIABLE,
    UNKNOWN_CONTEXT,
    EndpointProfile,
    FrozenModel,
    ModelEntry,
    Price,
    Target,
)

DEFAULT_ENDPOINT = "vercel"
UserFiles = tuple[Path, ...]


class Offer(FrozenModel):
    """What is special about a model at one endpoint; unset fields are the model's own."""

    id: str
    context: int | None = None
    input: float | None = Field(default=None, ge=0)
    output: float | None = Field(default=None, ge=0)
    cached: float | None = Field(default=None, ge=0)
    providers: tuple[str, ...] = ()
    deprecated: date | None = None
    retired: date | None = None
    replacement: str = ""


class CatalogueModel(FrozenModel):
    """A model apart from who serves it. The table's key is its slug."""

    name: str
    aliases: tuple[str, ...] = ()
    context: int = UNKNOWN_CONTEXT
    max_output: int = UNKNOWN_CONTEXT
    temperature: float = 0.15
    vision: bool = False
    tokenizer: str = ""
    offers: Mapping[str, Offer] = Field(default_factory=dict)


class Catalogue(FrozenModel):
    """All endpoints and models that are known."""

    endpoints: Mapping[str, EndpointProfile]
    models: Mapping[str, CatalogueModel]

    def entries(self, endpoint: str) -> list[ModelEntry]:
        """Return what the endpoint offers, in the order of the file."""
        found: list[ModelEntry] = []
        for model in self.models.values():
            offer = model.offers.get(endpoint)
            price = None if offer is None else self._price(offer, endpoint)
            if offer is not None and price is not None:
                found.append(_entry(model, offer, price))
        return found

    def slug_of(self, name: str, endpoint: str = "") -> str | None:
        """Return the slug that an id, alias or slug means; case does not matter. None when nothing fits."""
        wanted = name.casefold()
        for slug, model in self.models.items():
            if endpoint in model.offers and model.offers[endpoint].id.casefold() == wanted:
                return slug
        for slug, model in self.models.items():
            ids = {offer.id for offer in model.offers.values()}
            names = {slug, *model.aliases, *ids, *(i.rpartition("/")[2] for i in ids)}
            if wanted in {n.casefold() for n in names}:
                return slug
        return None

    def names(self) -> list[str]:
        """Return everything that a model may be called."""
        found: dict[str, None] = {}
        for slug, model in self.models.items():
            found.update(dict.fromkeys([slug, *(offer.id for offer in model.offers.values()), *model.aliases]))
        return list(found)

    def _price(self, offer: Offer, endpoint: str) -> Price | None:
        if offer.input is not None and offer.output is not None:
            return Price(input=offer.input, output=offer.output, cached=offer.cached)
        profile = self.endpoints.get(endpoint)
        return Price(input=0, output=0) if profile is not None and profile.local else None

    def price_of(self, slug: str, endpoint: str) -> Price | None:
        """Return what the model costs there, None when that is not known."""
        offer = self.models[slug].offers.get(endpoint)
        return None if offer is None else self._price(offer, endpoint)


def resolve(
    model: str, endpoint: str, price: tuple[float, float] | None = None, catalogue: Catalogue | None = None
) -> Target:
    """Turn --model, --endpoint and --price into the place where requests go.

    Args:
        model: an id as the endpoint knows it, or a catalogue slug or alias, which is understood.
        endpoint: name of a catalogued endpoint, a base URL, or `NAME+URL` for such a server at another address.
        price: dollars per million input and output tokens; overrides the catalogue.
        catalogue: instead of the bundled one with the user's files.

    Raises:
        UsageError: the endpoint or the model is not known, or its price is not.
        ConfigError: a catalogue file of the user cannot be read.
    """
    known = catalogue if catalogue is not None else load_catalogue(user_files(os.environ))
    profile = find_endpoint(endpoint, known)
    given = _given_price(price)
    slug = known.slug_of(model, profile.name)
    if slug is not None and (offer := known.models[slug].offers.get(profile.name)) is not None:
        cost = given or known.price_of(slug, profile.name)
        return Target(profile=profile, model=_entry(known.models[slug], offer, _priced(cost, offer.id)))
    if profile.name in known.endpoints and not profile.local:
        _refuse_unknown(model, slug, profile, given, known)
    cost = given or (Price(input=0, output=0) if profile.local else None)
    facts = known.models[slug] if slug is not None else CatalogueModel(name=model)
    return Target(profile=profile, model=_entry(facts, Offer(id=model), _priced(cost, model)))


def find_endpoint(endpoint: str, catalogue: Catalogue) -> EndpointProfile:
    """Return the profile that a name, a base URL or `NAME+URL` stands for.

    Raises:
        UsageError: no such name, or not a usable URL.
    """
    if endpoint in catalogue.endpoints:
        return catalogue.endpoints[endpoint]
    name, plus, url = endpoint.partition("+")
    if plus and name in catalogue.endpoints and "://" in url:
        return catalogue.endpoints[name].model_copy(update={"base_url": _base_url(url)})
    if "://" not in endpoint:
        known = ", ".join(catalogue.endpoints)
        raise UsageError(
            f"unknown endpoint {endpoint!r}",
            mend=f"{_suggestion(endpoint, catalogue.endpoints)}Known are {known}; a base URL works too.",
        )
    url = _base_url(endpoint)
    for profile in catalogue.endpoints.values():
        if urlsplit(profile.base_url).netloc == urlsplit(url).netloc and not profile.local:
            return profile.model_copy(update={"base_url": url})
    return EndpointProfile(
        name="custom",
        label=urlsplit(url).netloc,
        base_url=url,
        key_variables=(GENERIC_KEY_VARIABLE,),
        first_token_s=600.0,
        idle_s=300.0,
        total_s=1800.0,
    )


def user_files(environ: Mapping[str, str]) -> UserFiles:
    """Return where the user's catalogue may be, the stronger one last."""
    config = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    home = environ.get("OSTRO_HOME") or str(Path.home() / ".local" / "share" / "ostro")
    return Path(config, "ostro", "catalogue.toml"), Path(home, "catalogue.toml")


@functools.lru_cache(maxsize=8)
def load_catalogue(files: UserFiles = ()) -> Catalogue:
    """Read the bundled catalogue and lay the user's files over it; files that do not exist are skipped.

    Raises:
        ConfigError: a file is not TOML, or an entry in it is wrong.
    """
    merged: dict[str, Any] = {}
    catalogue = Catalogue(endpoints={}, models={})
    for path in (Path(__file__).with_name("catalogue.toml"), *files):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
        try:
            _overlay(merged, tomllib.loads(text))
            catalogue = _validated(merged)
        except (tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
            raise ConfigError(f"{path}: {_first_line(error)}", mend="Mend or remove that file.") from error
    return catalogue


def _validated(tables: Mapping[str, Any]) -> Catalogue:
    endpoints = {
        name: {"name": name, "label": name, **_patience(table), **table} for name, table in tables["endpoints"].items()
    }
    return Catalogue.model_validate({**tables, "endpoints": endpoints})


def _patience(table: Mapping[str, Any]) -> dict[str, float]:
    # A CPU reads a prompt of 10,000 tokens in minutes before its first token.
    return {"first_token_s": 900.0, "idle_s": 300.0, "total_s": 3600.0} if table.get("local") else {}


def _overlay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if is_object(value) and isinstance(below.get(key), dict):
            _overlay(below[key], value)
        else:
            below[key] = value


def _entry(model: CatalogueModel, offer: Offer, price: Price) -> ModelEntry:
    return ModelEntry(
        id=offer.id,
        name=model.name,
        price=price,
        context=offer.context or model.context,
        max_output=min(model.max_output, offer.context or model.context),
        temperature=model.temperature,
        vision=model.vision,
        tokenizer=model.tokenizer,
        providers=offer.providers,
        deprecated=offer.deprecated,
        retired=offer.retired,
        replacement=offer.replacement,
    )


def _priced(price: Price | None, model: str) -> Price:
    if price is None:
        raise UsageError(
            f"the price of {model} is not known",
            mend="Give --price IN,OUT in dollars per million tokens; 0,0 for a model of your own.",
        )
    return price


def _given_price(price: tuple[float, float] | None) -> Price | None:
    if price is None:
        return None
    if not all(math.isfinite(part) and part >= 0 for part in price):
        raise UsageError(f"--price {price[0]},{price[1]} is not two amounts of dollars", mend="Write it as 0.10,0.30.")
    return Price(input=price[0], output=price[1], source="flag")


def _refuse_unknown(
    model: str, slug: str | None, profile: EndpointProfile, given: Price | None, catalogue: Catalogue
) -> None:
    if slug is not None:
        where = ", ".join(f"{name} ({offer.id})" for name, offer in catalogue.models[slug].offers.items())
        raise UsageError(f"{profile.label} does not offer {model}", mend=f"It is to be had at: {where}.")
    offered = [entry.id for entry in catalogue.entries(profile.name)]
    suggestion = _suggestion(model, [*offered, *catalogue.names()])
    if given is None or suggestion:
        raise UsageError(
            f"unknown model {model!r} at {profile.label}",
            mend=f"{suggestion}`ostro models` lists the known ones; a catalogue.toml of your own adds others.",
        )


def _suggestion(wrong: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(wrong, list(names), n=1, cutoff=0.75)
    return f"Did you mean {near[0]}? " if near else ""


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not an http(s) base URL", mend="Write it as http://localhost:8000/v1.")
    if parts.username or parts.password:
        raise UsageError("the endpoint's URL holds a password", mend=f"Put the key into {GENERIC_KEY_VARIABLE}.")
    return url.rstrip("/").removesuffix("/chat/completions")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).splitlines()[0]
