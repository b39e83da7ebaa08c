"""The hidden line by which Ostro knows its own comment and pull request again.

It stands at the very start of the text, so that a quotation is no marker. What it tells is written by the publishing
job only, and can be changed only by people who may write to the repository.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MARKER = re.compile(r"\A<!-- ostro (?P<facts>\{[^\n<>]{1,2000}\}) -->(?:\n|\Z)")


class Marker(BaseModel):
    """What a text of ours tells the next run.

    Attributes:
        ordered_by: login of who asked for the run, whose permission counts when checks of the draft fail.
        rounds: how many runs failed checks have started since a person asked.
        stopped: `/ostro stop` was the last command.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["status", "pull"]
    issue: int = Field(ge=1)
    run: str = Field(default="", max_length=100)
    ordered_by: str = Field(default="", max_length=100)
    rounds: int = Field(default=0, ge=0)
    stopped: bool = False

    def line(self) -> str:
        """Return the line that a text begins with."""
        facts = self.model_dump_json(exclude_defaults=True).replace("<", "\\u003c").replace(">", "\\u003e")
        return f"<!-- ostro {facts.replace('--', '-' + chr(92) + 'u002d')} -->\n"


def read_marker(text: str) -> Marker | None:
    """Return the marker that a text begins with, None where there is none."""
    match = _MARKER.match(text.replace("\r\n", "\n"))
    if match is None:
        return None
    try:
        return Marker.model_validate_json(match["facts"])
    except ValidationError:
        return None
