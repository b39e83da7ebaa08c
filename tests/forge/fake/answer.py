"""One question to the fake's API and its answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.forge.fake.world import Token


@dataclass(frozen=True)
class Ask:
    """A request to the API.

    Attributes:
        path: below the API's root.
        refused: it came with a token that nobody gave out.
    """

    method: str
    path: str
    query: dict[str, str]
    body: Any
    token: Token | None = None
    refused: bool = False


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        route: template of the path, as GitHub's description has it; "" where there is none.
    """

    status: int
    value: Any
    route: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
