"""Logs for tests: a recorded one written anew, with events changed, left out or cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ostro.agent.record.events import Event
from ostro.agent.record.trajectory import TrajectoryWriter, read_events


def rewrite(log: Path, change: Callable[[Event], Event | list[Event] | None]) -> None:
    """Write `log` anew with a good chain; `change` gives what stands for an event: one, several or none."""
    events = list(read_events(log))
    log.unlink()
    with TrajectoryWriter(log) as writer:
        for event in events:
            changed = change(event)
            for one in changed if isinstance(changed, list) else [changed]:
                if one is not None:
                    writer.write(one)
