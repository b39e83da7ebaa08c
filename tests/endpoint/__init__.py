"""A scripted endpoint with every fault of the wire, over real HTTP on loopback.

Faults are asked for by name: the row ids of the fault matrix (A01 to A38, S01 to S05) and the longer names in
wire.py and answers.py. A turn asks for its own (`{"fault": "A21", "fault_times": 1, ...}`), or a `FaultPlan` does
for turn n or for every turn. A fault of what the model said (answers.py) changes the turn that the script holds,
so a script that calls `bash` gets its `bash` call damaged; the faults of the wire (wire.py) replace the answer.
As the played turn is the number of assistant messages in the request, a fault that fires once is followed by the
undamaged turn if the client asks again.

    python -m tests.endpoint turns.json --fault 0:A21 --fault 2:S01x2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ostro.benchmarks.scripted_endpoint import Fault, FaultPlan, ScriptedEndpoint
from tests.endpoint.answers import ANSWERS
from tests.endpoint.wire import WIRE

__all__ = ["FAULTS", "LS", "FaultPlan", "ScriptedEndpoint", "serve"]

FAULTS: Mapping[str, Fault] = {**WIRE, **ANSWERS}

LS: Mapping[str, Any] = {"content": "Let me look.", "calls": [{"name": "bash", "arguments": {"command": "ls -la"}}]}
"""A turn with one call, for scripts that need no other."""


def serve(
    turns: Sequence[Mapping[str, Any]] = (LS,),
    fault: str = "",
    *,
    times: int = 1,
    turn: int | None = None,
    **options: Any,
) -> ScriptedEndpoint:
    """Return an endpoint, not started yet, that plays `fault` the first `times` times (0: always)."""
    faults = [FaultPlan(fault, turn, times)] if fault else []
    return ScriptedEndpoint(turns, faults=faults, known_faults=FAULTS, **options)
