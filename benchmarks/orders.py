"""One piece of a batch's work, as data that can go to another machine: an instance, a sample, and how to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ostro.agent.config import Settings
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.recipe import Flavour

Policy = Literal["model", "oracle", "null"]
"""Who answers: the configured model; a script that works towards the gold patch through the tools; one that gives up.

The scripted ones check a task set and the whole path of a score: 100 % and 0 %.
"""


class WorkOrder(BaseModel):
    """What one worker does next.

    Attributes:
        folder: of this sample of this instance in the run folder; seen by every worker under the same path.
        settings: of the agent; `home` holds the environments, on the worker's machine.
        instance_budget: dollars for this sample; None leaves it to the batch's budget.
        base_image: see benchmarks/environment.py.
        earlier_tries: how often it was begun before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: Instance
    sample: int = 1
    folder: Path
    settings: Settings
    flavour: Flavour
    policy: Policy = "model"
    instance_budget: float | None = None
    base_image: str = ""
    earlier_tries: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """Names the order in its batch."""
        return self.instance.instance_id, self.sample
