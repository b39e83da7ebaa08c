"""The embedded backend: the choice of means, what it shows of the host, what it says when it cannot."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ostro.sandbox import local, usage
from ostro.sandbox.protocol import Limits, SandboxError
from tests.worlds import Open, missing


@pytest.fixture(autouse=True)
def _bubblewrap() -> None:
    if reason := missing("bubblewrap"):
        pytest.skip(reason)


def test_means_when_none_is_installed_are_an_error_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(SandboxError) as unavailable:
        local.find_means()
    assert unavailable.value.kind == "unavailable"
    assert "bubblewrap" in unavailable.value.mend


def test_means_when_namespaces_are_forbidden_are_an_error_with_the_reason() -> None:
    # A process whose user namespaces are used up, as on a machine that forbids them.
    program = (
        "from ostro.sandbox.local import find_means\n"
        "from ostro.sandbox.protocol import SandboxError\n"
        "try:\n    find_means()\nexcept SandboxError as error:\n    print(error.kind, error)\n"
    )
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; echo 0 >/proc/sys/user/max_mnt_namespaces; exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.startswith("unavailable No embedded sandbox works here"), done.stdout + done.stderr


def test_image_when_it_is_a_tree_shows_its_environment_first_on_the_path(open_kind: Open, tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    tmp_path.chmod(0o755)
    tool = tmp_path / "env" / "bin" / "special-tool"
    tool.write_text("#!/bin/sh\necho special\n")
    tool.chmod(0o755)
    with open_kind("bubblewrap", image=str(tmp_path)) as box:
        assert box.run("special-tool; command -v special-tool").output.text() == "special\n/opt/env/bin/special-tool\n"
        assert box.run("echo x >/opt/env/bin/special-tool").exit_code != 0


def test_read_only_folders_when_asked_for_are_seen_but_not_written(open_kind: Open, tmp_path: Path) -> None:
    folder = tmp_path / "tool chain"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "file").write_text("seen\n")
    with open_kind("bubblewrap", read_only=(folder,)) as box:
        assert box.run(f"cat '{folder}/file'").output.text() == "seen\n"
        assert box.run(f"echo x >'{folder}/file'").exit_code != 0


def test_state_folder_when_only_root_can_enter_it_serves(open_kind: Open, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with open_kind("bubblewrap", state_dir=closed / "state") as box:
        assert box.run("echo x >new.txt; cat new.txt").output.text() == "x\n"


def test_workspace_when_it_grows_over_its_limit_ends_the_command(open_kind: Open) -> None:
    with open_kind("bubblewrap", limits=Limits(workspace_bytes=30 * 1024**2)) as box:
        done = box.run("for i in 1 2 3 4; do head -c 15000000 /dev/zero >big$i; done; sleep 30", timeout_s=20)
        assert done.exit_code == 137
        assert usage.DISK in done.output.text()
        assert not done.oom
        assert box.run("rm big*; echo alive").output.text() == "alive\n"


def test_first_process_when_killed_from_outside_is_started_again(open_kind: Open) -> None:
    with open_kind("bubblewrap") as box:
        box.run("cd package; echo work >new.txt")
        namespace = box.run("readlink /proc/self/ns/pid").output.text().strip()
        for link in Path("/proc").glob("[0-9]*/ns/pid"):
            with contextlib.suppress(OSError):
                if str(link.readlink()) == namespace:
                    os.kill(int(link.parts[2]), signal.SIGKILL)
        done = box.run("pwd; cat new.txt")
        assert done.restarted
        assert done.output.text() == f"{box.workdir}/package\nwork\n"
        assert b"new.txt" in box.patch()


def test_sandbox_when_its_owner_is_killed_ends_too(base: tuple[Path, str], tmp_path: Path) -> None:
    program = (
        "import sys, os\nfrom pathlib import Path\n"
        "from ostro.sandbox.local import open_local\nfrom ostro.sandbox.protocol import SandboxSpec\n"
        "box = open_local(SandboxSpec('x', Path(sys.argv[1]), base_git=Path(sys.argv[2]), base_commit=sys.argv[3]))\n"
        "box.start('sleep 97531'); box.run('true'); print('ready', flush=True); sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "state"), str(base[0]), base[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        await_sleepers("97531", there=True)
        owner.kill()
    await_sleepers("97531", there=False)


def await_sleepers(number: str, *, there: bool) -> None:
    for _ in range(200):
        if bool(sleepers(number)) == there:
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError(f"sleep {number}: expected to be there: {there}")


def sleepers(number: str) -> list[Path]:
    """Return the processes of this machine whose command line holds `sleep number`."""
    found: list[Path] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"sleep\0{number}" in (folder / "cmdline").read_text(errors="replace"):
                found.append(folder)
        except OSError:
            continue
    return found
