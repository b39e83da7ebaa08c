"""A trajectory in the formats of other tools; nothing here reads them back.

- `atif`: the Agent Trajectory Interchange Format;
- `mini-swe-agent`: what `mini-extra inspector` shows;
- `swe-agent`: what `sweagent inspector` shows;
- `prediction`: one row of SWE-bench's predictions, which every grader of SWE-bench takes.

Images are counted, not copied. A byte of a patch that is not UTF-8 stands as a lone surrogate, as in predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ostro.agent.record.export_atif import atif
from ostro.agent.record.export_mini_swe_agent import mini_swe_agent
from ostro.agent.record.export_swe_agent import swe_agent
from ostro.agent.record.steps import Document, Recording

FormatName = Literal["atif", "mini-swe-agent", "swe-agent", "prediction"]


def prediction(recording: Recording) -> Document:
    """Return the row of a predictions file."""
    return {
        "instance_id": recording.name,
        "model_name_or_path": recording.started.model,
        "model_patch": recording.patch,
    }


@dataclass(frozen=True)
class Format:
    """One way to write a recording.

    Attributes:
            suffix: of a file's name; the tools that read it look for it.
    """

    write: Callable[[Recording], Document]
    suffix: str


FORMATS: dict[FormatName, Format] = {
    "atif": Format(atif, ".atif.json"),
    "mini-swe-agent": Format(mini_swe_agent, ".traj.json"),
    "swe-agent": Format(swe_agent, ".traj"),
    "prediction": Format(prediction, ".pred.json"),
}
