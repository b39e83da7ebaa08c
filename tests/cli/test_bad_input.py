"""The user who does things wrong: one clear line, the documented exit code, and nothing changed.

In the process of the test, through the very `main` of the console script: a process each would take a minute.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.cli.main import main
from tests.driving import CHECK, FIX, SOLVE, SUBMIT, bash, git, make_repository
from tests.endpoint import serve

NOWHERE = ("--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--price", "0,0", "--sandbox", "none")
TASK = ("--task", "total() is one too high")
SECRET = "sk-very-secret-key-0123456789"


@dataclass(frozen=True)
class Said:
    """What a command left on its streams."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr that says what is wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("ostro: ")]
        assert len(lines) == 1, self.err
        return lines[0]

    @property
    def report(self) -> RunReport:
        """The one JSON object on stdout."""
        return RunReport.model_validate(json.loads(self.out))


Ostro = Callable[..., Said]


@pytest.fixture
def ostro(capsys: pytest.CaptureFixture[str]) -> Ostro:
    """Call `ostro run` with arguments."""

    def call(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["run", *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def user_repository(tmp_path: Path) -> Path:
    """The user's repository, with the bug that `SOLVE` mends."""
    return make_repository(tmp_path / "user")


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with serve(SOLVE) as served:
        yield served


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, that of git included."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def kept_runs() -> list[Path]:
    runs = Path(os.environ["OSTRO_HOME"]) / "runs"
    return sorted(runs.iterdir()) if runs.is_dir() else []


def refused(ostro: Ostro, *arguments: str, code: int = 2) -> Said:
    """Call with a bad argument, as text and as JSON, check what every refusal owes, and return the text one."""
    told = ostro(*arguments)
    assert (told.code, told.out) == (code, "")
    report = ostro(*arguments, "--output", "json").report
    assert report.exit_code == code
    assert report.error is not None
    assert report.error.kind
    assert report.error.mend
    assert report.error.message.split("\n")[0] in told.line
    assert kept_runs() == []
    return told


@pytest.mark.parametrize(
    ("kind", "said", "mend"),
    [
        ("missing", "does not exist", "Give the path"),
        ("file", "is not a folder", "Give the folder"),
        ("empty", "is not a git repository", "git init"),
        ("no commits", "has no commits yet", "git commit"),
        ("broken", "its .git is broken", "Clone"),
    ],
)
def test_repository_when_it_cannot_be_used_then_one_line_names_it_and_the_mend(
    ostro: Ostro, tmp_path: Path, kind: str, said: str, mend: str
) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("x")
    elif kind != "missing":
        place.mkdir()
    if kind == "no commits":
        git(place, "init", "-q")
    if kind == "broken":
        (place / ".git").mkdir()
        (place / ".git" / "HEAD").write_text("rubbish")
    told = refused(ostro, "--repo", str(place), *TASK, *NOWHERE)
    assert told.err.count("\n") == 1
    assert str(place) in told.line
    assert said in told.line
    assert mend in told.line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x" * 5_000_000, "larger than the limit of 1024 KiB"),
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is binary"),
        (None, "does not exist"),
    ],
    ids=["5 MB", "empty", "blank", "binary", "missing"],
)
def test_issue_file_when_it_cannot_be_used_then_one_line_names_it(
    ostro: Ostro, user_repository: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "issue.md"
    if content is not None:
        file.write_bytes(content)
    before = contents(user_repository)
    told = refused(ostro, "--repo", str(user_repository), "--issue", str(file), *NOWHERE)
    assert str(file) in told.line
    assert said in told.line
    assert contents(user_repository) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--price", "cheap"], "--price"),
        (["--price", "1"], "two numbers, like 0.10,0.30"),
        (["--price", "1,2,3"], "two numbers"),
        (["--price=-1,2"], "Write it as 0.10,0.30"),
        (["--price", "nan,1"], "Write it as 0.10,0.30"),
        (["--budget", "lots"], "--budget"),
        (["--budget", "-1"], "--budget"),
        (["--budget", "inf"], "--budget"),
        (["--time", "1e300"], "--time"),
        (["--steps", "0"], "--steps"),
        (["--sandbox", "chroot"], "'auto', 'docker', 'local', 'none'"),
        (["--endpoint", "vercell"], "Did you mean vercel?"),
        (["--endpoint", "ftp://x/v1"], "http"),
        (["--budge", "1"], "Did you mean '--budget'?"),
        (["--sand", "none"], "'--sandbox'"),
        (["--nonsense"], "ostro run --help"),
        (["--out", ""], "--out"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_flag_when_it_is_bad_then_one_line_names_it(
    ostro: Ostro, user_repository: Path, flags: list[str], said: str
) -> None:
    before = contents(user_repository)
    told = refused(ostro, "--repo", str(user_repository), *TASK, *NOWHERE, *flags)
    assert told.err.count("\n") == 1
    assert said in told.line
    assert contents(user_repository) == before


@pytest.mark.parametrize("size", ["lots", "0", "1k", "9999t"])
def test_memory_when_it_is_no_size_for_a_sandbox_then_refused(
    ostro: Ostro, user_repository: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.setenv("OSTRO_MEMORY", size)
    told = refused(ostro, "--repo", str(user_repository), *TASK, *NOWHERE)
    assert f"memory cannot be {size!r}" in told.line


def test_model_when_it_is_nearly_one_then_that_is_suggested(ostro: Ostro, user_repository: Path) -> None:
    told = refused(ostro, "--repo", str(user_repository), *TASK, "--model", "devstral-smal-2")
    assert "Did you mean devstral-small-2?" in told.line


def test_price_when_it_is_unknown_then_no_run_for_nothing(ostro: Ostro, user_repository: Path) -> None:
    told = refused(ostro, "--repo", str(user_repository), *TASK, *NOWHERE[:4])
    assert "--price IN,OUT" in told.line


def test_key_when_there_is_none_then_its_variable_and_page_are_named(ostro: Ostro, user_repository: Path) -> None:
    before = contents(user_repository)
    told = refused(ostro, "--repo", str(user_repository), *TASK, "--sandbox", "none", code=4)
    assert "AI_GATEWAY_API_KEY" in told.line
    assert "https://" in told.line
    assert contents(user_repository) == before


def test_key_when_it_is_wrong_then_auth_at_once_and_the_key_nowhere(
    ostro: Ostro, user_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTRO_API_KEY", SECRET)
    before = contents(user_repository)
    with serve(SOLVE, "A06", times=0) as served:
        flags = ("--repo", str(user_repository), *TASK, *NOWHERE, "--endpoint", served.url, "--test", "")
        told = ostro(*flags)
        asked = len(served.requests)
        report = ostro(*flags, "--output", "json").report
    assert (told.code, asked, report.outcome) == (4, 1, "model_error")
    assert "Check the key" in told.line
    assert report.error is not None
    assert report.error.kind == "auth"
    assert SECRET not in told.out + told.err + report.model_dump_json()
    assert not [data for data in contents(Path(os.environ["OSTRO_HOME"])).values() if SECRET.encode() in data]
    assert contents(user_repository) == before


def test_endpoint_when_nobody_listens_then_a_few_tries_and_model_error(
    ostro: Ostro, user_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ostro.agent.model import retry

    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(retry, "FIRST_CEILING_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    told = ostro("--repo", str(user_repository), *TASK, *NOWHERE, "--endpoint", url, "--test", "")
    assert told.code == 4
    assert "(3 tries)" in told.line
    assert "Check the address" in told.line
    assert git(user_repository, "branch", "--list", "ostro/*") == ""


def test_endpoint_when_no_answer_to_the_connection_comes_then_a_few_tries_too(
    ostro: Ostro, user_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ostro.agent.model import retry, transport

    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(retry, "FIRST_CEILING_S", 0.1)
    monkeypatch.setattr(transport, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()[:2]
        # A full queue of connections that nobody accepts: the kernel drops the next.
        waiting = [socket.socket() for _ in range(3)]
        for caller in waiting:
            caller.setblocking(False)
            caller.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}/v1"
        told = ostro("--repo", str(user_repository), *TASK, *NOWHERE, "--endpoint", url, "--test", "")
        for caller in waiting:
            caller.close()
    assert told.code == 4
    assert "no connection to" in told.line
    assert "(3 tries)" in told.line


def test_engine_when_none_answers_then_docker_is_refused_with_the_mend(
    ostro: Ostro, user_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    before = contents(user_repository)
    told = refused(ostro, "--repo", str(user_repository), *TASK, *NOWHERE, "--sandbox", "docker", code=5)
    assert "unix:///nonexistent" in told.line
    assert "--sandbox local" in told.line
    assert contents(user_repository) == before


@pytest.mark.parametrize("what", ["home is a file", "home has no parent", "out has no parent"])
def test_folder_when_it_cannot_be_written_then_storage_error_names_it(
    ostro: Ostro, user_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "file").write_text("x")
    # /proc refuses a new folder to root too, as a read-only disk does
    place = {"home is a file": f"{tmp_path}/file", "home has no parent": "/proc/no"}.get(what)
    out = [] if place else ["--out", "/proc/no/run"]
    if place:
        monkeypatch.setenv("OSTRO_HOME", place)
    before = contents(user_repository)
    told = ostro("--repo", str(user_repository), *TASK, *NOWHERE, *out)
    assert (told.code, told.out) == (6, "")
    assert f"cannot write {place or '/proc/no/run'}" in told.line
    assert ostro("--repo", str(user_repository), *TASK, *NOWHERE, *out, "--output", "json").report.exit_code == 6
    assert contents(user_repository) == before


def test_out_when_it_holds_a_run_then_refused_and_untouched(
    ostro: Ostro, user_repository: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "trajectory.jsonl").write_text("precious\n")
    told = refused(ostro, "--repo", str(user_repository), *TASK, *NOWHERE, "--out", str(out))
    assert "already holds a run" in told.line
    assert contents(out) == {str(out / "trajectory.jsonl"): b"precious\n"}


def test_out_when_the_run_is_refused_then_a_folder_of_the_users_keeps_what_it_had(
    ostro: Ostro, user_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    told = ostro("--repo", str(user_repository), *TASK, *NOWHERE, "--sandbox", "docker", "--out", str(out))
    assert told.code == 5
    assert list(contents(out)) == [str(out / "notes.txt")]


@pytest.mark.parametrize("change", ["detached", "bare", "shallow", "submodule", "lfs", "latin-1"])
def test_run_when_the_input_is_odd_but_legitimate_then_a_branch_and_a_warning(
    ostro: Ostro, user_repository: Path, tmp_path: Path, endpoint: ScriptedEndpoint, change: str
) -> None:
    repository, issue, said = ODD[change](user_repository, tmp_path)
    before = git(repository, "for-each-ref")
    flags = ("--repo", str(repository), *issue, *NOWHERE, "--endpoint", endpoint.url, "--test", CHECK)
    report = ostro(*flags, "--output", "json").report
    assert (report.outcome, report.exit_code, report.error) == ("submitted", 0, None)
    assert report.tests.verified
    assert [warning for warning in report.warnings if said in warning]
    added = set(git(repository, "for-each-ref").splitlines()) - set(before.splitlines())
    assert [line.split("\t")[1] for line in added] == [f"refs/heads/{report.branch}"]


Odd = tuple[Path, tuple[str, ...], str]


def detached(repository: Path, folder: Path) -> Odd:
    git(repository, "checkout", "-q", "--detach")
    return repository, TASK, "HEAD is detached"


def bare(repository: Path, folder: Path) -> Odd:
    git(folder, "clone", "-q", "--bare", str(repository), "bare.git")
    return folder / "bare.git", TASK, "bare repository"


def shallow(repository: Path, folder: Path) -> Odd:
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(folder, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    return folder / "shallow", TASK, "shallow clone"


def submodule(repository: Path, folder: Path) -> Odd:
    make_repository(folder / "inner", {"inner.txt": "x"})
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(folder / "inner"), "inner")
    git(repository, "commit", "-q", "-m", "submodule")
    return repository, TASK, "1 submodule left empty"


def lfs(repository: Path, folder: Path) -> Odd:
    (repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    (repository / "model.bin").write_text(pointer)
    git(repository, "-c", "filter.lfs.clean=cat", "add", "-A")
    git(repository, "commit", "-q", "-m", "pointer")
    return repository, TASK, "1 file of Git LFS"


def latin_1(repository: Path, folder: Path) -> Odd:
    (folder / "issue.md").write_bytes("# Grüße\n\ntotal() ist um eins zu groß".encode("latin-1"))
    return repository, ("--issue", str(folder / "issue.md")), "read as Latin-1"


ODD: dict[str, Callable[[Path, Path], Odd]] = {
    "detached": detached,
    "bare": bare,
    "shallow": shallow,
    "submodule": submodule,
    "lfs": lfs,
    "latin-1": latin_1,
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, where this machine lets us mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = "size=2m,mode=755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True)
    if sys.platform != "linux" or mounted.returncode != 0:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_disk_when_it_is_small_then_preflight_says_so(
    ostro: Ostro, user_repository: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTRO_HOME", str(small_disk / "home"))
    told = ostro("--repo", str(user_repository), *TASK, *NOWHERE, "--test", "")
    assert told.code == 5
    assert "host disk" in told.line
    assert "OSTRO_HOME" in told.line


def test_disk_when_it_fills_up_under_a_run_then_disk_full_and_the_work_is_on_the_branch(
    ostro: Ostro, user_repository: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTRO_HOME", str(small_disk / "home"))
    flood = bash("head -c 30000000 /dev/zero | base64")
    with serve([FIX, flood, SUBMIT, SUBMIT]) as served:
        flags = ("--repo", str(user_repository), *TASK, *NOWHERE, "--endpoint", served.url, "--test", "")
        report = ostro(*flags, "--skip-preflight", "--output", "json").report
    assert (report.outcome, report.exit_code) == ("disk_full", 6)
    assert report.error is not None
    assert "No space left" in report.error.message
    assert "sum(prices)\n" in git(user_repository, "show", f"{report.branch}:price.py") + "\n"
    assert git(user_repository, "status", "--porcelain") == ""


def test_run_folder_when_it_is_on_another_file_system_then_the_run_works(
    ostro: Ostro, user_repository: Path, small_disk: Path, endpoint: ScriptedEndpoint
) -> None:
    flags = ("--repo", str(user_repository), *TASK, *NOWHERE, "--endpoint", endpoint.url, "--test", "")
    told = ostro(*flags, "--out", str(small_disk / "run"), "--skip-preflight", "--output", "json")
    assert told.report.outcome == "submitted"
