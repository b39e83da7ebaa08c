"""Bring a workspace back to where the log of its attempt ended, in another process.

The world of the ended process is taken over where it survives, else a fresh one is made; the newest checkpoint is
restored into it, and the calls that no checkpoint holds are run again. What a cut-off call did is so taken back.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.acting import CutCall
from ostro.agent.errors import StorageError
from ostro.agent.history import History, Image, Message, ToolMessage
from ostro.agent.intake import Intake, take_in
from ostro.agent.model.reply import RawCall
from ostro.agent.preparation import Prepared
from ostro.agent.record.events import Noted, Planned, Resumed
from ostro.agent.record.reconstruct import Ran, Saved, State, recorded_reply
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.sandbox.protocol import Checkpoint, Sandbox
from ostro.tools.protocol import ToolContext
from ostro.tools.registry import Toolset


@dataclass(frozen=True)
class Revived:
    """A sandbox that stands where a checkpoint was made.

    Attributes:
        saved: that checkpoint; None for the base commit.
        missing: the calls whose effect is not in it, to be run again.
    """

    sandbox: Sandbox
    saved: Saved | None
    missing: tuple[Ran, ...]

    def event(self, state: State, prepared: Prepared) -> Resumed:
        """Return what the log is to say of it."""
        cut = cut_call(state)
        return Resumed(
            turn=state.turn,
            sandbox="kept" if self.sandbox.taken_over else "rebuilt",
            sandbox_description=self.sandbox.description,
            restored=self.saved.event.digest if self.saved else "",
            rerun=tuple(ran.call.id for ran in self.missing),
            cut_call=cut.id if cut else "",
            repeats=cut is not None and cut.repeats,
            limits=prepared.limits,
        )


def cut_call(state: State) -> CutCall | None:
    """Return the call during which the process ended."""
    return CutCall(state.cut.id, state.begun) if state.cut is not None else None


def revive(prepared: Prepared, number: int, state: State, folder: Path) -> Revived:
    """Open the sandbox of an attempt again, with the newest checkpoint in it.

    Raises:
        SandboxError: none can be had, or the checkpoint cannot be restored.
    """
    saved = next((saved for saved in reversed(state.saved) if (folder / saved.event.path).is_file()), None)
    sandbox = prepared.open_attempt(number, take_over=True)
    if sandbox.taken_over and saved is None:
        sandbox.close()  # with whatever the calls did to it since the base
        sandbox = prepared.open_attempt(number)
    calls = saved.calls if saved is not None else 0
    try:
        if saved is not None:
            event = saved.event
            sandbox.restore(Checkpoint(folder / event.path, event.digest, event.size_bytes))
        sandbox.remember_jobs([job for before, job in state.jobs if before < calls])
    except BaseException:
        sandbox.close()
        raise
    return Revived(sandbox, saved, tuple(ran for ran in state.ran[calls:] if ran.observed.mutated))


def run_again(missing: Iterable[Ran], toolset: Toolset, tools: ToolContext, log: TrajectoryWriter) -> None:
    """Run completed calls again for what they do to the workspace; what they gave back is known.

    Args:
        missing: the calls.
        toolset: their tools.
        tools: with the memory that the tools had before the first of them.
        log: told of a call that went another way.

    Raises:
        SandboxError: the sandbox is gone.
    """
    for ran in missing:
        tool = toolset.get(ran.call.name)
        if tool is None:
            log.write(Noted(kind="warning", text=f"there is no tool {ran.call.name} to run call {ran.call.id} again"))
            continue
        observation = tool.run(tool.args.model_validate(ran.call.arguments), tools)
        if observation.ok != ran.observed.ok:
            ended = "failed" if ran.observed.ok else "succeeded"
            log.write(Noted(kind="warning", text=f"call {ran.call.id} ({ran.call.name}) {ended} when it was run again"))


def taken_in(planned: Planned, toolset: Toolset) -> Intake:
    """Bind the calls of a logged reply; by their canonical form where this version reads the reply differently."""
    plan = take_in(recorded_reply(planned), planned.turn, toolset)
    if tuple(bound.call for bound in plan.calls) == planned.calls:
        return plan
    calls = tuple(RawCall(name=call.name, arguments=call.arguments) for call in planned.calls)
    return take_in(recorded_reply(planned).model_copy(update={"calls": calls}), planned.turn, toolset)


def with_pictures(state: State, folder: Path) -> History:
    """Return the history with the images of its observations, which lie beside the log.

    Raises:
        StorageError: one cannot be read.
    """
    return History([_with_images(message, state, folder) for message in state.history])


def _with_images(message: Message, state: State, folder: Path) -> Message:
    if not isinstance(message, ToolMessage) or message.masked or message.call_id not in state.pictures:
        return message
    path = folder / state.pictures[message.call_id]
    try:
        pictures = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}", kind="damaged") from error
    return message.model_copy(update={"images": tuple(Image.model_validate(picture) for picture in pictures)})
