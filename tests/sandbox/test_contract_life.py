"""What every kind of sandbox promises of background jobs, checkpoints, forks and its end."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

import pytest

from ostro.sandbox.attached import AttachedSandbox
from ostro.sandbox.protocol import Job, SandboxError
from tests.worlds import Open


def await_end(sandbox: AttachedSandbox, job: Job) -> Job:
    """Wait for a job inside, so that the test does not sleep."""
    for _ in range(600):
        now = next(one for one in sandbox.jobs() if one.id == job.id)
        if now.exit_code is not None:
            return now
        sandbox.run("sleep 0.05", keep_state=False)
    raise AssertionError(f"{job.id} did not end")


def test_job_when_started_runs_beside_commands_and_logs(sandbox: AttachedSandbox) -> None:
    sandbox.run("cd package; export FOR_JOB='a b'; rm -f new-go")
    job = sandbox.start('pwd; echo "$FOR_JOB"; while [ ! -e new-go ]; do sleep 0.05; done; echo done; exit 3')
    assert job.exit_code is None
    for _ in range(3):
        done = sandbox.run("true")
        assert done.leftovers == 0
    assert next(one for one in sandbox.jobs() if one.id == job.id).exit_code is None
    sandbox.run("touch new-go; cd ..")
    assert await_end(sandbox, job).exit_code == 3
    assert sandbox.read(job.log).decode() == f"{sandbox.workdir}/package\na b\ndone\n"
    sandbox.run("rm package/new-go")


def test_job_when_stopped_dies_with_all_its_children(sandbox: AttachedSandbox) -> None:
    job = sandbox.start("sleep 1234 & setsid sleep 1235 & sleep 1236")
    other = sandbox.start("sleep 1237")
    sandbox.stop(job.id)
    sandbox.stop("job-999")
    states = {one.id: one.exit_code for one in sandbox.jobs()}
    assert states[job.id] == 137
    assert states[other.id] is None
    # A job has begun when its shell has; the machine of the unsandboxed kind may have more processes than are shown.
    listing = "(ps -ef 2>/dev/null || ps) | grep '[s]leep 123[467]'"
    left = sandbox.run(f"until {listing}; do :; done", timeout_s=20).output.text()
    assert "sleep 1237" in left
    assert "sleep 1234" not in left
    assert "sleep 1236" not in left
    sandbox.stop(other.id)


def test_job_when_a_command_times_out_or_leaves_daemons_lives_on(sandbox: AttachedSandbox) -> None:
    job = sandbox.start("sleep 4321 & wait; echo killed")
    assert sandbox.run("sleep 60 & sleep 60", timeout_s=0.3).timed_out
    assert sandbox.run("setsid sleep 50 & true").leftovers == 1
    assert next(one for one in sandbox.jobs() if one.id == job.id).exit_code is None
    sandbox.stop(job.id)
    assert sandbox.read(job.log) == b""


def test_checkpoint_when_restored_brings_the_workspace_back(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    odd = "odd\n'name'"
    own_sandbox.run(
        "echo v1 >new.txt; echo more >>package/code.py; rm crlf.txt; chmod +x latin.txt; ln -s x new-link; "
        f"mkdir -p ignored deep/er; echo small >ignored/small; echo d >{shlex.quote('deep/er/' + odd)}"
    )
    before = own_sandbox.patch()
    point = own_sandbox.checkpoint(tmp_path)
    assert point.path.is_file()
    assert point.size_bytes == point.path.stat().st_size
    assert len(point.digest) == 64
    own_sandbox.run(
        "echo v2 >new.txt; rm -rf package deep; echo later >later.txt; echo c >crlf.txt; echo changed >ignored/small; "
        "rm new-link; chmod -x latin.txt"
    )
    own_sandbox.restore(point)
    assert own_sandbox.patch() == before
    done = own_sandbox.run(
        f"cat new.txt ignored/small {shlex.quote('deep/er/' + odd)}; readlink new-link; ls later.txt"
    )
    assert done.output.text().startswith("v1\nsmall\nd\nx\nls: ")


def test_checkpoint_when_the_workspace_is_the_same_has_the_same_digest(
    own_sandbox: AttachedSandbox, tmp_path: Path
) -> None:
    first = own_sandbox.checkpoint(tmp_path / "a")
    own_sandbox.run("touch package/code.py; true")
    assert own_sandbox.checkpoint(tmp_path / "b").digest == first.digest
    own_sandbox.run("echo x >x")
    assert own_sandbox.checkpoint(tmp_path / "c").digest != first.digest


def test_digest_when_taken_is_that_of_a_checkpoint(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    own_sandbox.run("echo x >new.txt; echo y >>package/code.py")
    assert own_sandbox.digest() == own_sandbox.checkpoint(tmp_path).digest
    assert not own_sandbox.taken_over


def test_checkpoint_when_restored_keeps_agents_commits_and_large_ignored_files(
    own_sandbox: AttachedSandbox, tmp_path: Path
) -> None:
    if not own_sandbox.has("git"):
        pytest.skip("no git inside")
    own_sandbox.run(
        "echo x >x; git add x; git commit -qm mine; mkdir ignored; head -c 2000000 /dev/zero >ignored/large"
    )
    point = own_sandbox.checkpoint(tmp_path)
    assert point.size_bytes < 1_500_000
    own_sandbox.run("git reset -q --hard HEAD~1; rm -rf .git/refs; echo y >>ignored/large")
    own_sandbox.restore(point)
    assert own_sandbox.run("git log --format=%s").output.text() == "mine\nbase\n"
    assert own_sandbox.run("wc -c <ignored/large | tr -d ' '").output.text() == "2000002\n"


def test_checkpoint_when_restored_elsewhere_brings_the_workspace_there(
    own_sandbox: AttachedSandbox, kind: str, open_kind: Open, tmp_path: Path
) -> None:
    own_sandbox.run("echo new >new.txt; rm crlf.txt")
    point = own_sandbox.checkpoint(tmp_path)
    with open_kind(kind) as other:
        other.restore(point)
        assert other.patch() == own_sandbox.patch()


def test_checkpoint_when_it_has_many_files_holds_them_all(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    name = "a-rather-long-name-so-that-one-command-line-cannot-hold-them-all" * 3
    own_sandbox.run(f"mkdir many; i=0; while [ $i -lt 1000 ]; do echo $i >many/{name}$i; i=$((i+1)); done")
    point = own_sandbox.checkpoint(tmp_path)
    own_sandbox.run("rm -rf many")
    own_sandbox.restore(point)
    assert own_sandbox.run("cat many/* | wc -l | tr -d ' '").output.text() == "1000\n"


def test_restore_when_the_workspace_was_deleted_brings_it_back(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    own_sandbox.run("echo new >new.txt")
    point = own_sandbox.checkpoint(tmp_path)
    own_sandbox.run("find . -mindepth 1 -maxdepth 1 -exec rm -rf {} +")
    own_sandbox.restore(point)
    assert b"new.txt" in own_sandbox.patch()


def test_fork_when_made_is_a_copy_that_goes_its_own_way(own_sandbox: AttachedSandbox, tmp_path: Path) -> None:
    own_sandbox.run(
        "echo new >new.txt; ln -s /etc/shadow bad-link; mkdir ignored; head -c 2000000 /dev/zero >ignored/large"
    )
    with own_sandbox.fork("forked", tmp_path / "forked") as other:
        assert other.name == own_sandbox.name
        assert other.patch() == own_sandbox.patch()
        assert other.run("wc -c <ignored/large | tr -d ' '; pwd").output.text() == f"2000000\n{other.workdir}\n"
        other.run("echo other >new.txt")
        own_sandbox.run("echo mine >new.txt")
        assert b"+other" in other.patch()
        assert b"+mine" in own_sandbox.patch()
        own_sandbox.close()
        assert b"+other" in other.patch()


def test_close_when_called_leaves_no_process_and_no_folder(kind: str, open_kind: Open) -> None:
    box = open_kind(kind)
    state = box.state_folder
    box.run("setsid sleep 8642 & true")
    box.start("sleep 8643")
    box.run("mkdir -p locked/in; echo x >locked/in/x; chmod 000 locked/in locked")
    box.close()
    assert list(state.iterdir()) == []
    assert not [command for command in host_commands() if "sleep\08642" in command or "sleep\08643" in command]


def test_open_when_the_base_commit_is_wrong_fails_and_leaves_nothing(
    kind: str, open_kind: Open, tmp_path: Path
) -> None:
    with pytest.raises(SandboxError):
        open_kind(kind, base_commit="0" * 40, state_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists() or list((tmp_path / "state").iterdir()) == []


def host_commands() -> list[str]:
    """Return the command lines of all processes that this machine shows."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((folder / "cmdline").read_text(errors="replace"))
    return found
