"""Rows P08 and P09 of the fault matrix: one process a run folder, and no lock of a dead one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.errors import StorageError, UsageError
from ostro.agent.outcome import RunReport
from ostro.agent.record.lock import LOCK_FILE, Holder, RunLock, is_held, refuse_held
from tests.driving import FIX
from tests.endpoint import serve
from tests.running import LONG, command, environment, running
from tests.worlds import missing

HOLD = """
import sys, time
from pathlib import Path
from typing import Any
from ostro.agent.record.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))
def test_p08_run_when_another_works_in_the_folder_then_refused_and_the_holder_named(tmp_path: Path) -> None:
    with serve([FIX, LONG]) as endpoint, running(tmp_path, endpoint) as run:
        run.await_command()
        asked = len(endpoint.requests)
        second = subprocess.run(
            command(run.repository, endpoint, "--out", str(run.out), "--output", "json"),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        report = RunReport.model_validate_json(second.stdout)
        assert (second.returncode, report.outcome) == (2, "usage")
        assert report.error is not None
        assert report.error.kind == "locked"
        assert f"in use by process {run.process.pid} on " in report.error.message
        assert len(endpoint.requests) == asked
        assert run.end(signal.SIGINT).branch is not None  # the first was not disturbed
    assert not (run.out / LOCK_FILE).exists()


def test_p08_lock_when_its_holder_is_killed_then_it_can_be_taken(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        assert is_held(tmp_path)
        for take in (lambda: RunLock(tmp_path).__enter__(), lambda: refuse_held(tmp_path)):
            with pytest.raises(UsageError, match=f"in use by process {holder.pid} on .*, since 20") as caught:
                take()
            assert caught.value.kind == "locked"
        holder.kill()
        holder.wait()
    assert (tmp_path / LOCK_FILE).exists()
    assert not is_held(tmp_path)
    with RunLock(tmp_path):
        assert Holder.parse((tmp_path / LOCK_FILE).read_text()).owner.pid == os.getpid()  # type: ignore[union-attr]


def test_p08_lock_when_given_back_then_nothing_is_left_and_it_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with RunLock(tmp_path), pytest.raises(UsageError, match=f"process {os.getpid()} "):
            RunLock(tmp_path).__enter__()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [{"boot": "another boot"}, {"started": "1"}, {"pid": 1}, {}],
    ids=["after a reboot", "pid used again", "another living process", "our own name"],
)
def test_p09_lock_when_its_file_is_stale_or_forged_then_taken_over(tmp_path: Path, change: dict[str, Any]) -> None:
    """Only the kernel's lock counts, whatever living process the file names."""
    here = Holder.here()
    forged = replace(here, owner=replace(here.owner, **change))
    (tmp_path / LOCK_FILE).write_text(json.dumps(asdict(forged)))
    assert not is_held(tmp_path)
    with RunLock(tmp_path):
        assert is_held(tmp_path)
        assert Holder.parse((tmp_path / LOCK_FILE).read_text()) == replace(Holder.here(), since=_since(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b'{"owner": {}}', b"[]", b"\xff"])
def test_p09_lock_when_its_file_is_garbage_then_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK_FILE).write_bytes(content)
    with RunLock(tmp_path), pytest.raises(UsageError, match=f"process {os.getpid()} "):
        RunLock(tmp_path).__enter__()


def test_p09_lock_when_its_file_is_a_link_then_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK_FILE).symlink_to(target)
    with pytest.raises(StorageError, match="cannot write"):
        RunLock(folder).__enter__()
    assert target.read_text() == "precious"


def _since(folder: Path) -> str:
    return str(json.loads((folder / LOCK_FILE).read_text())["since"])
