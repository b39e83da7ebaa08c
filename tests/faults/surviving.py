"""A run that is killed again and again and resumed each time: what it does, and what must be true of it at the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Compacted, Event, Observed, Planned, Resumed
from ostro.agent.record.trajectory import read_events
from ostro.agent.record.volatile import normalise
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.driving import FIX, SUBMIT, bash, make_repository
from tests.faults.dying import Death, Nursery, nursery

Turn = Mapping[str, Any]

INTERRUPTED = "[The run was interrupted during this call"


def edit(**arguments: Any) -> Turn:
    """A turn with one call of the editor."""
    return {"calls": [{"name": "str_replace_editor", "arguments": arguments}]}


def calls(*turns: Turn) -> Turn:
    """One turn with the calls of several."""
    return {"calls": [call for turn in turns for call in turn["calls"]]}


def busy_turns(steps: int) -> list[Turn]:
    """Return a script whose every effect would show if it came twice or not at all; it ends with a submit."""
    numbers = count(1)

    def some() -> list[Turn]:
        n = next(numbers)
        return [
            bash(f"echo line {n} >>journal.txt; sleep 0.03; cat journal.txt"),
            edit(command="create", path=f"notes/n{n}.md", file_text=f"note {n}\n"),
            bash('export COUNT=$((COUNT + 1)); echo "count $COUNT" >>counts.txt; sleep 0.02; echo "now $COUNT"'),
            calls(
                edit(command="str_replace", path=f"notes/n{n}.md", old_str=f"note {n}", new_str=f"Note {n}."),
                bash(f"cd notes && pwd && sleep 0.02 && echo {n} >>here.txt && cat here.txt"),
                bash("cd .. && pwd"),
            ),
            bash(f"echo tmp {n} >>/tmp/kept.txt; cat /tmp/kept.txt; echo $COUNT"),
            {"calls": [{"name": "search", "arguments": {"pattern": "line [0-9]+"}}]},
            {"calls": [{"name": "plan", "arguments": {"items": [f"step {n}", f"step {n + 1}"]}}]},
        ]

    background = {"calls": [{"name": "bash", "arguments": {"command": "sleep 300", "background": True}}]}
    turns: list[Turn] = [FIX, background]
    while len(turns) < steps - 2:
        turns += some()
    return [*turns[: steps - 2], SUBMIT, SUBMIT]


@dataclass
class Life:
    """One run and its processes.

    Attributes:
        folder: of the run.
        kills: how often one of its processes was killed.
    """

    nursery: Nursery
    endpoint: ScriptedEndpoint
    repository: Path
    folder: Path
    flags: Sequence[str]
    kills: int = 0

    @property
    def output(self) -> Path:
        """Where the newest process wrote what it printed."""
        return self.folder.with_suffix(".out")

    def start(self, death: Death | None = None) -> int:
        """Begin the run, or go on with it; return the process id."""
        if (self.folder / "request.json").exists():
            arguments = ["resume", str(self.folder), "--output", "json"]
        else:
            model = ["--endpoint", self.endpoint.url, "--model", "scripted", "--price", "1,2"]
            task = ["--repo", str(self.repository), "--task", "total([1, 2]) gives 4 instead of 3"]
            arguments = ["run", *task, *model, *self.flags, "--out", str(self.folder), "--output", "json"]
        return self.nursery.start(arguments, self.output, death)

    def finish(self) -> RunReport:
        """Let it go on to its end and return the report."""
        self.start()
        code = self.nursery.wait()
        said = self.output.with_suffix(".out.err").read_text()
        assert code == 0, said + self.output.read_text()
        return RunReport.model_validate(json.loads(self.output.read_text()))

    def lines(self) -> int:
        """Return how many lines the log has."""
        log = self.folder / "trajectory.jsonl"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def events(self, attempt: int = 1) -> list[Event]:
        """Return what the log holds."""
        folder = self.folder if attempt == 1 else self.folder / f"attempt-{attempt}"
        return list(read_events(folder / "trajectory.jsonl"))


def new_life(
    nursery: Nursery, endpoint: ScriptedEndpoint, folder: Path, flags: Sequence[str], *, run: str = "run"
) -> Life:
    """Return a run that has not begun, in a repository of its own."""
    repository = make_repository(folder / f"{run}-repository")
    return Life(nursery, endpoint, repository, folder / run, flags)


def digest(report: RunReport) -> str:
    """Return the sha256 of the final patch."""
    return hashlib.sha256(Path(str(report.patch)).read_bytes()).hexdigest()


def check_whole(life: Life, report: RunReport, like: Sequence[Event]) -> None:
    """Assert that nothing was lost or done twice.

    Args:
        life: the run.
        report: of its end.
        like: the events of the same run undisturbed.
    """
    events = life.events()
    planned = [event for event in events if isinstance(event, Planned)]
    observed = [event for event in events if isinstance(event, Observed)]
    assert [event.turn for event in planned] == list(range(len(planned)))
    assert Counter(e.call_id for e in observed) == Counter(call.id for event in planned for call in event.calls)
    spent = sum(event.cost_usd for event in events if isinstance(event, Planned | Compacted))
    assert report.cost_usd == round(spent, 6) > 0
    assert report.steps == len(planned)
    assert [event.seq for event in events] == list(range(len(events)))
    assert observations(events) == observations(like)


def observations(events: Sequence[Event]) -> list[str]:
    """Return what the model read, less what differs between two runs, and what only a resumed one is told."""
    return [plain(event.text) for event in events if isinstance(event, Observed)]


def plain(text: str) -> str:
    """Leave out the note of an interruption and of a job that died with the process."""
    kept = [line for line in text.splitlines() if not line.startswith((INTERRUPTED, "[job-1 ended"))]
    return re.sub(r"in [0-9.]+ ?m?s", "in TIME", normalise("\n".join(kept)))


def resumptions(events: Sequence[Event]) -> list[Resumed]:
    """Return what each process after the first did to go on."""
    return [event for event in events if isinstance(event, Resumed)]


def left_behind(home: Path) -> list[str]:
    """Return the folders of sandboxes below OSTRO_HOME and the processes that name it."""
    found = [str(path) for path in (home / "sandboxes").glob("[!.]*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(home) in line and process.name != str(os.getpid()):
            found.append(line)
    return found


def left_in_engine(home: Path) -> list[str]:
    """Return the containers and volumes of sandboxes below OSTRO_HOME whose process is dead."""
    from ostro.sandbox import owner
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.reaper import FOLDER_LABEL

    here = owner.current_owner()
    with contextlib.closing(Engine.connect()) as engine:
        labelled = [*engine.containers({owner.LABEL: ""}), *engine.volumes({owner.LABEL: ""})]
    found = [one for one in labelled if one.labels.get(FOLDER_LABEL, "").startswith(f"{home}/")]
    owners = [(one.name, owner.Owner.from_labels(one.labels)) for one in found]
    return [name for name, whose in owners if whose is not None and owner.owner_is_dead(whose, here)]


@dataclass(frozen=True)
class Stage:
    """What the runs of one test share, and the undisturbed run that they are compared with."""

    nursery: Nursery
    endpoint: ScriptedEndpoint
    folder: Path
    flags: tuple[str, ...]
    digest: str
    files: tuple[str, ...]
    events: list[Event]


@contextmanager
def staged(folder: Path, steps: int, flags: tuple[str, ...]) -> Generator[Stage]:
    """Run so many steps undisturbed, and hold what further runs need."""
    with ScriptedEndpoint(busy_turns(steps)) as endpoint, nursery(os.environ) as started:
        life = new_life(started, endpoint, folder, flags, run="undisturbed")
        report = life.finish()
        yield Stage(started, endpoint, folder, flags, digest(report), report.files_changed, life.events())
