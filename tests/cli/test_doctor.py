"""`ostro doctor`: every trouble has a mend, and the exit code says whether a run can work."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ostro.agent.checks import Check, CheckStatus
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.cli.doctor import check_disk, check_git, fit
from ostro.cli.main import cli


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments], catch_exceptions=False, standalone_mode=False)


def test_doctor_without_a_key_fails_and_names_the_variable() -> None:
    done = doctor("--no-probe", "--output", "json")
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert found["exit_code"] == done.return_value == 1
    assert checks["key"]["status"] == "fail"
    assert "AI_GATEWAY_API_KEY" in checks["key"]["mend"]


def test_doctor_when_the_model_is_unknown_suggests_one() -> None:
    done = doctor("--no-probe", "--model", "mistral/devstral-smal-2")
    assert "mistral/devstral-small-2" in done.stdout
    assert done.return_value == 1


def test_doctor_with_a_local_endpoint_needs_no_key() -> None:
    done = doctor("--no-probe", "--endpoint", "http://localhost:9/v1", "--model", "m", "--price", "0,0")
    assert "none is needed" in done.stdout


def test_doctor_without_an_engine_is_no_failure_where_the_embedded_sandbox_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    found = json.loads(doctor("--no-probe", "--output", "json").stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["docker"]["status"] == "warn"
    assert checks["docker"]["mend"]
    assert checks["embedded"]["status"] in ("ok", "warn")


@pytest.mark.parametrize(
    ("docker", "embedded", "key", "fine"),
    [
        ("ok", "warn", "ok", True),
        ("warn", "ok", "ok", True),
        ("warn", "warn", "ok", False),
        ("ok", "ok", "fail", False),
    ],
)
def test_fit_needs_one_sandbox_and_no_failure(
    docker: CheckStatus, embedded: CheckStatus, key: CheckStatus, fine: bool
) -> None:
    statuses: dict[str, CheckStatus] = {"docker": docker, "embedded": embedded, "key": key}
    assert fit([Check(name, status, "") for name, status in statuses.items()]) is fine


def test_check_disk_when_home_is_a_file_fails_with_a_mend(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    check = check_disk(tmp_path / "home")
    assert check.status == "fail"
    assert "OSTRO_HOME" in check.mend


def test_check_git_without_git_names_the_install_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_git().mend == "sudo apt-get install git"


def test_check_git_when_it_is_old_warns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho git version 2.20.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert check_git().status == "warn"


def test_doctor_with_a_probe_reports_what_the_endpoint_said() -> None:
    with ScriptedEndpoint([{"content": "no tools here"}]) as endpoint:
        done = doctor("--endpoint", endpoint.url, "--model", "m", "--price", "0,0", "--output", "json")
    found = json.loads(done.stdout)
    statuses = {check["name"]: check["status"] for check in found["checks"]}
    assert statuses["tool_call"] == "fail"
    assert done.return_value == 1
