"""One replay in progress: turn by turn through the ordinary loop, each result compared with the recorded one.

agent/record/replay.py opens the sandbox, puts the loop together and drives this.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Sequence

from ostro.agent.acting import MAX_BEGINNINGS, CutCall
from ostro.agent.history import ToolCall, UserMessage
from ostro.agent.intake import BoundCall
from ostro.agent.loop import Agent, not_run
from ostro.agent.outcome import Ending, Outcome
from ostro.agent.record.answers import RecordedAnswers
from ostro.agent.record.drift import DRIFT_EXIT_CODE, Drift, DriftKind, Place, ReplayReport, unified
from ostro.agent.record.events import Resumed
from ostro.agent.record.recording import Recording, Turn
from ostro.agent.record.volatile import normalise
from ostro.agent.toolset import toolset_digest
from ostro.agent.version import ostro_version
from ostro.sandbox.protocol import SandboxError
from ostro.tools.display import SAVED_FOLDER
from ostro.tools.protocol import Observation

GOES_ON = "goes on"
WORKSPACE = "/workspace"
"""How the workspace is called in what is compared, wherever it was."""


class Replayer:
    """Drives the loop through the recorded turns.

    Args:
        recording: the log.
        agent: the loop, which asks `answers`, with every tool that there is.
        answers: give the recorded replies.
        steps: limit of the recorded run; what a fork changed is in its log.
        tools: names of those that it offered.
    """

    def __init__(
        self, recording: Recording, agent: Agent, answers: RecordedAnswers, *, steps: int, tools: Sequence[str]
    ) -> None:
        self._recording = recording
        self._steps = steps
        self._tools = tools
        self._agent = agent
        self._every_tool = agent.toolset
        self._answers = answers
        self._sandbox = agent.tools.sandbox
        self._drifts: list[Drift] = []
        self._same = 0
        self._left_out = 0
        self._started_by: dict[str, str] = {}

    def drive(self) -> None:
        """Replay every turn, then compare the patch.

        Raises:
            SandboxError: the sandbox failed where the recorded one did not.
        """
        turns = self._recording.turns
        for number, turn in enumerate(turns):
            last = number == len(turns) - 1
            try:
                outcome = self._turn(turn)
                if last:
                    self._agent.checkpoints.settle()
            except SandboxError as error:
                if last and self._failed_then_too(error):
                    return
                raise
            self._compare_ending(turn, outcome, self._recording.ending if last else GOES_ON)
        self._compare_patch()

    def _failed_then_too(self, error: SandboxError) -> bool:
        ended = self._recording.ended
        return ended is not None and ended.outcome.error is not None and ended.outcome.error.kind == error.kind

    def _turn(self, turn: Turn) -> Outcome | None:
        agent = self._agent
        agent.turn, self._answers.turn = turn.planned.turn, turn
        self._enter(agent.turn)
        self._go_on(turn.resumed.get(""))
        agent.asked = ""  # a recorded answer has the path that was asked for in it
        now = agent.plan()
        if self._answers.differing is not None:
            self._compare(turn, "calls", _listed(turn.planned.calls), _listed(self._answers.differing))
        for bound in now.plan.calls:
            agent.checkpoints.settle()
            now.results.append(self._call(turn, bound, last=len(now.results) == len(now.plan.calls) - 1))
        outcome = agent.observe(now)
        said = agent.history[-1]  # a user's only where the turn was corrected
        if not self._recording.edited(turn.planned.turn, "nudge"):
            self._compare(turn, "nudge", turn.nudge, said.text if isinstance(said, UserMessage) else "")
        return outcome

    def _enter(self, turn: int) -> None:
        """Begin with the limits and tools that a turn was made with; a fork counts its steps anew."""
        forked_here = any(fork.at == turn for fork in self._recording.forks)
        if turn > 0 and not forked_here:
            return
        agent = self._agent
        steps = self._recording.setting("steps", turn, self._steps)
        names = self._recording.setting("tools", turn, list(self._tools))
        agent.budget.used_steps = agent.silent = 0
        agent.budget.steps = steps if isinstance(steps, int) else self._steps
        agent.toolset = self._every_tool.only(map(str, names) if isinstance(names, list) else self._tools)
        self._answers.toolset = agent.toolset

    def _go_on(self, resumed: Resumed | None) -> None:
        """Do what the process did that went on: other limits, and neither its memory nor background jobs were left."""
        if resumed is None:
            return
        steps = resumed.limits.get("steps")
        self._agent.budget.steps = steps if isinstance(steps, int) else self._agent.budget.steps
        self._agent.tools.contents.clear()
        for job in self._sandbox.jobs():
            if job.exit_code is None and self._started_by.get(job.id) not in resumed.rerun:
                self._sandbox.stop(job.id)

    def _call(self, turn: Turn, bound: BoundCall, *, last: bool) -> Observation:
        """Run one call and compare; where the recording has no result that can be compared, nothing is run."""
        call, recorded = bound.call, turn.observed.get(bound.call.id)
        if recorded is None:
            return Observation(text="Not run: the recording has no result.", ok=False)
        self._go_on(turn.resumed.get(call.id))
        if call.id in self._answers.left_out:
            self._left_out += 1
            self._agent.log.write(recorded)
            return Observation(text=recorded.text, ok=recorded.ok)
        if begun := turn.cut.get(call.id):
            self._agent.actor.cut = CutCall(call.id, max(begun, MAX_BEGINNINGS) if recorded.interrupted else begun)
        elif not turn.begun[call.id] and bound.tool is not None:
            bound = not_run(bound)
        result = self._agent.actor.act(self._agent.turn, bound, last=last)
        if isinstance(job := result.data.get("job"), str):
            self._started_by[job] = call.id
        if self._recording.edited(turn.planned.turn, call.id):
            self._left_out += 1
        elif self._compare(turn, "observation", recorded.text, result.text, call):
            self._same += 1
        return result

    def _compare(self, turn: Turn, kind: DriftKind, then: str, now: str, call: ToolCall | None = None) -> bool:
        started = self._recording.started
        recorded = normalise(_neutral(then, started.workdir, started.sandbox))
        replayed = normalise(_neutral(now, self._sandbox.workdir, self._sandbox.name))
        if recorded == replayed:
            return True
        drift = Drift(turn=turn.planned.turn, kind=kind, diff=unified(recorded, replayed))
        if call is not None:
            drift = drift.model_copy(update={"call_id": call.id, "tool": call.name, "command": call.about})
        self._drifts.append(drift)
        return False

    def _compare_ending(self, turn: Turn, outcome: Outcome | None, recorded: str) -> None:
        replayed = GOES_ON if outcome is None else self._with_patch(outcome).value
        self._agent.actor.looping = ""
        self._compare(turn, "ending", recorded, replayed)

    def _with_patch(self, outcome: Outcome) -> Ending:
        submitted = outcome.ending is Ending.SUBMITTED
        return Ending.NO_ACTION if submitted and not self._sandbox.patch() else outcome.ending

    def _compare_patch(self) -> None:
        """Compare the final patch with the recorded one's digest, where the recording has come to its end."""
        ended = self._recording.ended
        if ended is None or not ended.patch_sha256:
            return
        patch = self._sandbox.patch()
        digest = hashlib.sha256(patch).hexdigest()
        if digest != ended.patch_sha256:
            diff = unified(f"sha256 {ended.patch_sha256}", f"sha256 {digest}\n{patch.decode('utf-8', 'replace')}")
            self._drifts.append(Drift(turn=None, kind="patch", diff=diff))

    def report(self, seconds: float) -> ReplayReport:
        """Return what came of it; `seconds` is how long it took."""
        recording, started = self._recording, self._recording.started
        return ReplayReport(
            log=str(recording.log),
            run_id=started.run_id,
            exit_code=DRIFT_EXIT_CODE if self._drifts else 0,
            turns=len(recording.turns),
            calls=sum(len(turn.observed) for turn in recording.turns),
            same=self._same,
            left_out=self._left_out,
            drifts=tuple(self._drifts),
            recorded=Place(sandbox=started.sandbox, ostro_version=started.ostro_version),
            replayed=Place(sandbox=self._sandbox.name, ostro_version=ostro_version()),
            notes=tuple(self._notes()),
            seconds=round(seconds, 3),
        )

    def _notes(self) -> list[str]:
        started = self._recording.started
        notes: list[str] = []
        if started.sandbox != self._sandbox.name:
            notes.append(f"recorded in the sandbox {started.sandbox}, replayed in {self._sandbox.name}")
        if started.config.get("network") is True:
            notes.append("the recorded run could reach the package registries, a replay cannot")
        if toolset_digest(self._agent.toolset) != started.tools_sha256:
            notes.append("the descriptions of the tools have changed since the recording")
        return notes


def _neutral(text: str, workdir: str, sandbox: str) -> str:
    """Return `text` with the workspace at the same place; without isolation it is a folder of that machine."""
    if sandbox == "none":
        folder = posixpath.dirname(workdir)
        return text.replace(f"{folder}/outputs", SAVED_FOLDER).replace(workdir, WORKSPACE).replace(folder, "")
    return text.replace(workdir, WORKSPACE)


def _listed(calls: tuple[ToolCall, ...]) -> str:
    return "\n".join(f"{call.name} {json.dumps(call.arguments, indent=1, ensure_ascii=False)}" for call in calls)
