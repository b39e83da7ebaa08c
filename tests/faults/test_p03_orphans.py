"""Row P03 of the fault matrix: SIGKILL between the start of a sandbox and its record in the log.

Nothing but the sandbox's own marks tells of it then: the owner file of its folder, the labels on the engine.
"""

import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.owner import start_time
from ostro.sandbox.protocol import Limits, SandboxSpec
from ostro.sandbox.reaper import DEFAULT_GRACE_S, MARKS, reap, reap_scratch
from ostro.sandbox.repository import inspect_repository
from ostro.sandbox.scratch import scratch_folder
from ostro.sandbox.world import noted

KILLED = """
import os, pickle, sys
from ostro.sandbox.open import open_sandbox
open_sandbox(sys.argv[1], pickle.loads(open(sys.argv[2], "rb").read()))
os.kill(os.getpid(), 9)
"""

# The same, in the middle of the start: the workspace is never made.
KILLED_EARLIER = """
import os
from ostro.sandbox import workspace
workspace.set_up = lambda *arguments: os.kill(os.getpid(), 9)
"""


@pytest.fixture(params=["local", pytest.param("docker", marks=pytest.mark.docker)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def labelled(run_id: str) -> list[str]:
    """Return what the engine has of a run: container ids and volume names."""
    found: list[str] = []
    for listing in (["ps", "-a"], ["volume", "ls"]):
        argv = ["docker", *listing, "-q", "--filter", f"label=ostro.run={run_id}"]
        found += subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return found


def later(sandboxes: Path, run_id: str) -> None:
    """Let the grace of what the last pass saw be over; other tests' orphans on the engine keep theirs."""
    ours = {run_id, *subprocess.run(
        ["docker", "ps", "-aq", "--no-trunc", "--filter", f"label=ostro.run={run_id}"],
        capture_output=True, text=True, check=False,
    ).stdout.split()}  # fmt: skip
    for mark in (sandboxes / MARKS).iterdir():
        if mark.name in ours or run_id in mark.name:
            past = mark.stat().st_mtime - DEFAULT_GRACE_S - 1
            os.utime(mark, (past, past))


@pytest.mark.parametrize("script", [KILLED, KILLED_EARLIER + KILLED], ids=["started", "starting"])
def test_p03_sandbox_when_killed_before_its_record_is_removed_by_the_next_start(
    backend: str, script: str, repository: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    image = request.getfixturevalue("docker_image") if backend == "docker" else None
    base = prepare_base(inspect_repository(repository), tmp_path / "base.git")
    run_id = f"t-{secrets.token_hex(4)}"
    sandboxes = tmp_path / "sandboxes"
    limits = Limits(memory_bytes=256 * 1024**2, processes=64)
    spec = SandboxSpec(run_id, sandboxes / run_id, base.git_dir, base.commit, image=image, limits=limits)
    (tmp_path / "spec").write_bytes(pickle.dumps(replace(spec, env={})))
    process = subprocess.run(
        [sys.executable, "-c", script, backend, str(tmp_path / "spec")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    found = noted(spec.state_dir)
    assert (found is not None) == (script == KILLED)
    assert len(labelled(run_id)) == 3 if backend == "docker" else (spec.state_dir / "workspace").is_dir()

    reap(sandboxes)
    assert spec.state_dir.is_dir()
    if backend == "docker":
        assert len(labelled(run_id)) == 3
    later(sandboxes, run_id)
    reaped = reap(sandboxes)
    assert reaped.folders == (spec.state_dir,)
    assert not spec.state_dir.exists()
    if backend == "docker":
        assert labelled(run_id) == []
    for name in found.processes if found else ():
        pid, _, started = name.partition(":")
        assert start_time(int(pid)) != started


KILLED_IN_SCRATCH = """
import os
from ostro.sandbox.scratch import scratch_folder
with scratch_folder("git") as folder:
    (folder / "objects").mkdir()
    os.kill(os.getpid(), 9)
"""


def test_p03_scratch_when_its_maker_was_killed_is_removed_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_SCRATCH], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (orphan,) = tmp_path.iterdir()
    assert (orphan / "scratch" / "objects").is_dir()
    alike = tmp_path / "ostro-scratch-of-somebody"
    alike.mkdir()
    link = tmp_path / "ostro-scratch-link"
    link.symlink_to(orphan)
    foreign = tmp_path / "ostro-scratch-of-another-user"
    shutil.copytree(orphan, foreign)
    if os.geteuid() == 0:
        os.chown(foreign, 65534, 65534)
    with scratch_folder("git") as living:
        expected = (orphan,) if os.geteuid() == 0 else tuple(sorted((orphan, foreign)))
        assert reap_scratch() == expected
        assert not orphan.exists()
        assert living.is_dir()
        assert alike.is_dir()
        assert link.is_symlink()
    assert not living.parent.exists()
