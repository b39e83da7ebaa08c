"""Go another way from a step of a recorded run: `ostro fork`.

A new run folder is made whose log is the other run's up to that step, with what is to be different, and which is
then gone on with like a run that was cut off there (agent/resume.py): the newest checkpoint is restored into a fresh
sandbox, and the recorded calls after it are run again. The other run is only read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ostro.agent.assembly import config_of, sampling_of
from ostro.agent.config import Settings
from ostro.agent.errors import UsageError
from ostro.agent.history import Message, UserMessage
from ostro.agent.model.catalogue import find_endpoint, load_catalogue, resolve, user_files
from ostro.agent.model.profile import Target
from ostro.agent.outcome import RunReport
from ostro.agent.preparation import RunFolder, open_folder
from ostro.agent.record.branching import copied, edited, most_copied
from ostro.agent.record.events import Checkpointed, Event, Forked, Observed, RunStarted
from ostro.agent.record.reconstruct import State, reconstruct
from ostro.agent.record.redact import Redactor, secrets_of
from ostro.agent.record.trajectory import TrajectoryWriter, read_events, storage_error
from ostro.agent.request import REQUEST_FILE, StoredRequest, read_request, write_request
from ostro.agent.resume import effective, resume
from ostro.agent.session import Listener
from ostro.agent.toolset import toolset_digest, toolset_of
from ostro.agent.version import ostro_version
from ostro.agent.workshop import BASE_GIT
from ostro.tools.registry import Toolset

LOG = "trajectory.jsonl"


def _no_settings() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class ForkRequest:
    """Where a run is to go another way, and how.

    Attributes:
        folder: of the other run, or of one of its attempts.
        at: number of its steps that are copied; 0 begins with the task.
        settings: those of the model, its tools and its limits that are to be different.
        message: stands in place of the last message before the step: an observation, a correction, or the task.
        system_prompt: instead of the recorded one.
        out: the new run folder; None for one below OSTRO_HOME.
    """

    folder: Path
    at: int
    settings: Mapping[str, Any] = field(default_factory=_no_settings)
    message: str | None = None
    system_prompt: str | None = None
    out: Path | None = None


@dataclass(frozen=True)
class _Parent:
    """The other run, as far as it is needed."""

    log: Path
    root: Path
    stored: StoredRequest
    events: tuple[Event, ...]
    started: RunStarted
    state: State


def fork(request: ForkRequest, listener: Listener | None, say: Callable[[str], None]) -> RunReport:
    """Make the new run and drive it to its end; the report counts what it did itself, not what was copied.

    Args:
        request: where and how.
        listener: told every new event.
        say: told what takes time before it begins.

    Raises:
        UsageError: there is no such step, or a change cannot be made.
        StorageError: the other run is damaged, or the new folder cannot be written.
        OstroError, SandboxError, KeyboardInterrupt: it cannot begin; no run folder is left then.
    """
    parent = read_parent(request.folder)
    most = most_copied(parent.events)
    if not 0 <= request.at <= most:
        raise UsageError(
            f"step {request.at} of {request.folder} is none that a run can go on from",
            mend=f"Give --at a number from 0, the task, to {most}.",
        )
    settings = changed_settings(parent, request.settings)
    target = resolve(settings.model, settings.endpoint, settings.price)
    events = forked_events(parent, request, settings, target)
    folder = open_folder(settings.home, request.out)
    try:
        _write(parent, folder, settings, events)
        folder.list_below(settings.home)
        return resume(folder.path, {}, listener, say)
    except BaseException:
        if not (folder.path / LOG).is_file() or not _has_begun(folder.path / LOG):
            _discard(folder)
        raise


def read_parent(folder: Path) -> _Parent:
    """Read the run that is to be forked.

    Raises:
        UsageError: the folder holds no run that began.
        StorageError: its log or its request is damaged.
    """
    log = folder / LOG
    root = folder if (folder / REQUEST_FILE).is_file() else folder.parent
    stored = read_request(root if (root / REQUEST_FILE).is_file() else folder)
    events = tuple(read_events(log))
    state = reconstruct(events)
    if state.started is None:
        raise UsageError(f"{folder} has no steps: the run ended before it began", mend="`ostro view` shows why.")
    return _Parent(log, root, stored, events, state.started, state)


def changed_settings(parent: _Parent, changes: Mapping[str, Any]) -> Settings:
    """Return the other run's settings with the changes.

    Sampling stays what it was for that attempt; the price of another model, or at another endpoint, is the
    catalogue's, unless it is given.

    Raises:
        UsageError: a value cannot be used.
    """
    sampling = parent.started.sampling
    values: dict[str, Any] = {key: sampling[key] for key in ("temperature", "seed") if key in sampling}
    before = effective(parent.stored, {1: parent.state}, {})
    if _asks_another(parent.started, before, changes):
        values["price"] = None
    stored = parent.stored.model_copy(update={"settings": before.model_dump(mode="json")})
    return stored.configuration(**{**values, **changes, "attempts": 1})


def _asks_another(started: RunStarted, before: Settings, changes: Mapping[str, Any]) -> bool:
    """Whether the changes name another model or endpoint than the run had, by whatever name."""
    endpoint = changes.get("endpoint", before.endpoint)
    return changes.get("model", before.model) not in (before.model, started.model) or (
        endpoint != before.endpoint
        and find_endpoint(endpoint, load_catalogue(user_files(os.environ))).base_url != started.base_url
    )


def forked_events(parent: _Parent, request: ForkRequest, settings: Settings, target: Target) -> list[Event]:
    """Return the log of the new run: manifest, copied events, what is different.

    Raises:
        UsageError: the message to edit or a tool does not exist.
    """
    redact = Redactor(secrets_of(os.environ))
    started = parent.started
    toolset = toolset_of(settings, target.model)
    changes = _different(parent, settings, toolset, request.settings)
    seeing = target.model.vision and settings.vision
    messages = [message if seeing else _without_images(message) for message in started.messages]
    if request.system_prompt is not None:
        messages[0] = messages[0].model_copy(update={"text": redact(request.system_prompt)})
        changes["system_prompt"] = True
    events = copied(parent.events, request.at, pictures=seeing)
    if request.message is not None and request.at == 0:
        messages[1] = messages[1].model_copy(update={"text": redact(request.message)})
        changes["edited"] = "task"
    elif request.message is not None:
        events, changes["edited"] = edited(events, request.at - 1, redact(request.message))
    manifest = started.model_copy(
        update={
            "ostro_version": ostro_version(),
            "attempt": 1,
            "model": target.model.id,
            "endpoint": target.profile.name,
            "base_url": target.profile.base_url,
            "sampling": sampling_of(settings, target.model, 1).described(),
            "price": (target.model.price.input, target.model.price.output),
            "tools_sha256": toolset_digest(toolset),
            "tools": toolset.names,
            "config": config_of(settings, redact),
            "messages": tuple(messages),
        }
    )
    origin = Forked(parent=started.run_id, parent_folder=str(parent.log.parent), at=request.at, changes=changes)
    return [manifest, *events, origin]


def _without_images(message: Message) -> Message:
    return message.model_copy(update={"images": ()}) if isinstance(message, UserMessage) else message


def _different(parent: _Parent, settings: Settings, toolset: Toolset, names: Iterable[str]) -> dict[str, JsonValue]:
    """Return the changed settings by name, and under `was` what they were; the tools by all their names."""
    config = parent.started.config
    after = settings.model_dump(mode="json")
    now: dict[str, JsonValue] = {name: after[name] for name in names if name != "tools"}
    was: dict[str, JsonValue] = {name: config.get(name) for name in now}
    if toolset.names != parent.started.tools:
        now["tools"], was["tools"] = list(toolset.names), list(parent.started.tools)
    return {**now, "was": was}


def _write(parent: _Parent, folder: RunFolder, settings: Settings, events: list[Event]) -> None:
    """Make the run folder: the base, the request, the log and the files that the log names.

    Raises:
        StorageError: it cannot be written, or the other run's base is gone.
    """
    try:
        shutil.copytree(parent.root / BASE_GIT, folder.path / BASE_GIT)
        for name in _files_of(events):
            if (source := parent.log.parent / name).is_file():
                (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder.path / name)
    except FileNotFoundError as error:
        raise UsageError(
            f"{parent.root / BASE_GIT}, the base of the run, is gone", mend="A run without it cannot be forked."
        ) from error
    except OSError as error:
        raise storage_error(error, folder.path) from error
    request = parent.stored.model_copy(
        update={
            "ostro_version": ostro_version(),
            "run_id": folder.run_id,
            "settings": settings.model_dump(mode="json"),
        }
    )
    write_request(folder.path, request, Redactor(secrets_of(os.environ)))
    with TrajectoryWriter(folder.path / LOG) as log:
        for event in events:
            log.write(event.model_copy(update={"run_id": folder.run_id}) if isinstance(event, RunStarted) else event)


def _files_of(events: list[Event]) -> list[str]:
    """Return what lies beside the log: outputs, images, and the newest checkpoint."""
    observed = [event for event in events if isinstance(event, Observed)]
    checkpoints = [event.path for event in events if isinstance(event, Checkpointed)]
    names = [name for event in observed for name in (event.full_output, event.pictures) if name]
    return [*names, *checkpoints[-1:]]


def _has_begun(log: Path) -> bool:
    """Whether the new run has done anything of its own."""
    events = list(read_events(log))
    return not isinstance(events[-1], Forked)


def _discard(folder: RunFolder) -> None:
    (folder.path / LOG).unlink(missing_ok=True)
    for name in ("outputs", "checkpoints"):
        shutil.rmtree(folder.path / name, ignore_errors=True)
    folder.discard()
