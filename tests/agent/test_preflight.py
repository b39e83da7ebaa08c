"""The checks before the first token, in real sandboxes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from ostro.agent.checks import Check
from ostro.agent.config import Settings
from ostro.agent.errors import PreflightError
from ostro.agent.outcome import Ending, RunReport
from ostro.agent.preflight import PreflightReport, preflight
from ostro.agent.record.events import Noted
from ostro.agent.record.trajectory import read_events
from ostro.agent.request import Delivery
from ostro.agent.session import RunRequest, run
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.sandbox.bare import open_bare
from ostro.sandbox.host_git import Base
from ostro.sandbox.local import LocalSandbox, open_local
from ostro.sandbox.protocol import SandboxSpec
from tests.driving import SOLVE, SUBMIT, TASK, drive, make_base, make_repository
from tests.running import running

FILES = {
    "setup.cfg": "[tool:pytest]\n",
    "shop/__init__.py": "PRICE = 1\n",
    "tests/test_shop.py": "import shop\n\ndef test_price():\n    assert shop.PRICE == 1\n",
}


@pytest.fixture
def base(tmp_path: Path, request: pytest.FixtureRequest) -> Base:
    """The base commit of `FILES`, or of the files given by an indirect parameter."""
    return make_base(tmp_path, getattr(request, "param", FILES))


@pytest.fixture
def sandbox(tmp_path: Path, base: Base) -> Generator[LocalSandbox]:
    """A sandbox whose `python` is a stand-in that the test can shape: the system's, under that name."""
    tree = tmp_path / "tree"
    programs = tree / "env" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/usr/bin/python3")
    spec = SandboxSpec(
        run_id="p", state_dir=tmp_path / "sandbox", base_git=base.git_dir, base_commit=base.commit, image=str(tree)
    )
    with open_local(spec) as opened:
        yield opened


def check(report: PreflightReport, name: str) -> Check:
    return next(found for found in report.checks if found.name == name)


def test_preflight_when_all_is_well_then_nothing_fails_and_nothing_changes(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    report = preflight(sandbox, test_command="make test", base=base, folder=tmp_path)
    assert report.failed == ()
    report.require()
    statuses = {found.name: found.status for found in report.checks if "disk" not in found.name}
    assert statuses == {
        "sandbox": "ok",
        "shell": "ok",
        "git": "ok",
        "interpreter": "ok",
        "import": "ok",
        "tests": "skipped",
    }
    assert "only pytest" in check(report, "tests").detail
    assert sandbox.patch() == b""
    assert sandbox.run("ls -A shop").output.text() == "__init__.py\n"


def test_preflight_when_the_workspace_differs_from_its_base_then_failed_with_the_file(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    sandbox.write("shop/__init__.py", b"PRICE = 2\n")
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    assert check(report, "git").status == "fail"
    with pytest.raises(PreflightError, match=r"git: .*shop/__init__\.py") as caught:
        report.require()
    assert caught.value.kind == "preflight_failed"
    assert caught.value.mend


def test_preflight_when_the_workspace_is_at_another_commit_then_failed(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    sandbox.run("git commit -q --allow-empty -m other")
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    assert check(report, "git").status == "fail"
    assert base.commit[:12] in check(report, "git").detail


def test_preflight_when_the_workspace_cannot_be_written_then_the_shell_check_fails(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    sandbox.run("chmod a-w .")
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    sandbox.run("chmod u+w .")
    assert [found.name for found in report.failed] == ["shell"]


def test_preflight_when_the_sandbox_is_gone_then_failed_not_raised(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    sandbox.close()
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    assert [found.name for found in report.failed] == ["shell"]


@pytest.mark.parametrize("base", [{**FILES, "shop/__init__.py": "import not_there\n"}], indirect=True)
def test_preflight_when_the_project_cannot_be_imported_then_a_warning_with_the_reason(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    assert report.failed == ()
    assert check(report, "import").status == "warn"
    assert "not_there" in check(report, "import").detail


@pytest.mark.parametrize(("configured", "status"), [(True, "fail"), (False, "warn")])
def test_preflight_when_the_test_program_is_missing_then_failed_only_if_it_was_configured(
    sandbox: LocalSandbox, base: Base, tmp_path: Path, *, configured: bool, status: str
) -> None:
    report = preflight(
        sandbox, test_command="pytest-of-nobody/pytest -q", base=base, folder=tmp_path, configured=configured
    )
    assert check(report, "tests").status == status
    assert check(report, "tests").mend


@pytest.mark.parametrize(
    ("exit_code", "text", "status"),
    [(0, "3 tests collected", "ok"), (5, "no tests collected", "warn"), (2, "1 error during collection", "warn")],
)
def test_preflight_when_pytest_collects_then_its_exit_code_decides(
    sandbox: LocalSandbox, base: Base, tmp_path: Path, exit_code: int, text: str, status: str
) -> None:
    # A pytest of the repository's own: what matters here is what its answer is taken for.
    sandbox.run(
        f"mkdir bin && printf '#!/bin/sh\\necho \"$@\"; echo {text}; exit {exit_code}' > bin/pytest; chmod +x bin/*"
    )
    report = preflight(sandbox, test_command="bin/pytest tests", base=base, folder=tmp_path, configured=True)
    assert check(report, "tests").status == status
    assert text in check(report, "tests").detail or exit_code == 5


def test_preflight_when_a_module_cannot_be_collected_then_the_detail_says_which_and_why(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    said = "ERROR tests/test_a.py - ModuleNotFoundError: No module named shop\\n!!! stopping after 1 failures !!!\\n"
    sandbox.run(f"mkdir bin && printf '#!/bin/sh\\nprintf \"{said}\"; exit 2' > bin/pytest; chmod +x bin/*")
    found = check(preflight(sandbox, test_command="bin/pytest -x", base=base, folder=tmp_path), "tests")
    assert found.detail.endswith("collected: tests/test_a.py - ModuleNotFoundError: No module named shop")


@pytest.mark.parametrize("base", [{"go.mod": "module x\n", "main.go": "package main\n"}], indirect=True)
def test_preflight_when_the_languages_program_is_not_on_path_then_a_warning(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    sandbox.run(
        "mkdir /tmp/bin; cd /tmp/bin; ln -s $(command -v git tail df head cat sh) .; cd -; export PATH=/tmp/bin"
    )
    report = preflight(sandbox, test_command="go test ./...", base=base, folder=tmp_path)
    assert check(report, "interpreter").status == "warn"
    assert "go is not on PATH" in check(report, "interpreter").detail
    assert check(report, "tests").status == "skipped"


def test_preflight_when_another_python_comes_first_then_a_warning(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    sandbox.run("mkdir /tmp/other && ln -s /usr/bin/python3 /tmp/other/python && export PATH=/tmp/other:$PATH")
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    assert check(report, "interpreter").status == "warn"
    assert "/tmp/other/python" in check(report, "interpreter").detail


def test_preflight_when_the_run_folders_disk_is_full_then_failed(
    sandbox: LocalSandbox, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostro.agent.preflight.HOST_BYTES_LEAST", 1 << 62)
    monkeypatch.setattr("ostro.agent.preflight.HOST_BYTES_GOOD", 1 << 62)
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path)
    assert [found.name for found in report.failed] == ["host disk"]
    assert "ostro clean" in report.failed[0].mend


PYPROJECT = '[project]\nname = "shop"\nrequires-python = "{}"\n'


@pytest.mark.parametrize(
    ("base", "status"),
    [
        ({**FILES, "pyproject.toml": PYPROJECT.format(">=3.8,<3.9")}, "warn"),
        ({**FILES, "pyproject.toml": PYPROJECT.format(">=3.8")}, "ok"),
        ({**FILES, ".python-version": "3.8\n"}, "warn"),
        ({**FILES, "setup.cfg": "[options]\npython_requires = >=3.14\n"}, "warn"),
    ],
    indirect=["base"],
)
def test_preflight_when_the_project_asks_for_another_python_then_a_warning(
    sandbox: LocalSandbox, base: Base, tmp_path: Path, status: str
) -> None:
    found = check(preflight(sandbox, test_command=None, base=base, folder=tmp_path), "interpreter")
    assert found.status == status
    assert ("the project asks for" in found.detail) is (status == "warn")


def test_preflight_when_the_run_folder_cannot_be_written_then_failed(
    sandbox: LocalSandbox, base: Base, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    report = preflight(sandbox, test_command=None, base=base, folder=tmp_path / "file")
    assert [found.name for found in report.failed] == ["host disk"]


def test_preflight_when_the_workspaces_disk_is_small_then_failed(tmp_path: Path, base: Base) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", place], check=False)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        spec = SandboxSpec(run_id="d", state_dir=place / "s", base_git=base.git_dir, base_commit=base.commit)
        with open_local(spec) as opened:
            report = preflight(opened, test_command=None, base=base, folder=tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    assert [found.name for found in report.failed] == ["sandbox disk"]


def test_preflight_when_there_is_no_sandbox_then_a_warning_says_so(tmp_path: Path, base: Base) -> None:
    spec = SandboxSpec(run_id="n", state_dir=tmp_path / "s", base_git=base.git_dir, base_commit=base.commit)
    with open_bare(spec) as opened:
        report = preflight(opened, test_command=None, base=base, folder=tmp_path)
    assert check(report, "sandbox").status == "warn"


def test_run_when_preflight_fails_then_the_report_has_every_check_and_no_request_is_made(tmp_path: Path) -> None:
    done = drive(tmp_path, [SUBMIT], test="pytest-of-nobody/pytest -q")
    assert (done.report.outcome, done.report.exit_code) == ("preflight_failed", 5)
    assert done.requests == []
    assert done.report.error is not None
    checks = {found.name: found for found in done.report.error.checks}
    assert checks["tests"].status == "fail"
    assert checks["tests"].mend == done.report.error.mend
    assert checks["shell"].status == "ok"
    assert {event.kind for event in done.of("noted")} >= {"preflight_ok", "preflight_fail"}


def test_run_when_preflight_is_skipped_then_it_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    done = drive(tmp_path, SOLVE, test="pytest-of-nobody/pytest -q", skip_preflight=True)
    assert done.report.outcome == "submitted"
    assert "preflight_fail" in {event.kind for event in done.of("noted")}


@pytest.mark.parametrize(("flags", "calls"), [((), 0), (("--skip-preflight",), len(SOLVE))])
def test_run_when_the_repository_is_read_only_then_it_is_told_before_anything_is_paid_for(
    tmp_path: Path, flags: tuple[str, ...], calls: int
) -> None:
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    read_only = ["unshare", "-rm", "sh", "-c", script, str(tmp_path / "repository")]
    with (
        ScriptedEndpoint(SOLVE) as endpoint,
        running(tmp_path, endpoint, "--sandbox", "none", *flags, before=read_only) as run,
    ):
        stdout, _ = run.process.communicate(timeout=60)
    report = RunReport.model_validate(json.loads(stdout))
    assert report.error is not None
    assert "cannot be written" in report.error.message
    assert report.outcome is (Ending.SANDBOX_ERROR if flags else Ending.PREFLIGHT_FAILED)
    assert (report.patch is None) == (calls == 0)
    assert len(endpoint.requests) == calls


@pytest.mark.parametrize(("deliver", "checked"), [("branch", True), ("patch", False)])
def test_run_when_it_writes_no_branch_then_the_repository_need_not_be_writable(
    tmp_path: Path, deliver: Delivery, checked: bool
) -> None:
    repository = make_repository(tmp_path / "repository")
    with ScriptedEndpoint(SOLVE) as endpoint:
        settings = Settings(
            endpoint=endpoint.url, model="scripted", price=(0.0, 0.0), sandbox="local", setup=(), home=tmp_path / "home"
        )
        out = tmp_path / "run"
        report = run(RunRequest(repository=repository, task=TASK, settings=settings, out=out, deliver=deliver))
    assert report.outcome is Ending.SUBMITTED
    told = [event.text for event in read_events(out / "trajectory.jsonl") if isinstance(event, Noted)]
    assert any(text.startswith("repository: ") for text in told) == checked
