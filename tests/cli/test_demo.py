"""`ostro demo` end to end: a real repository, the scripted model over real HTTP, a real sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.benchmarks.scripted_endpoint import Exchange, FaultPlan, ScriptedEndpoint
from ostro.cli.demo import BUNDLED, SCRIPTED, UNPROTECTED, make_repository
from ostro.sandbox.local import find_means
from ostro.sandbox.protocol import SandboxError
from tests.front_door import ostro
from tests.running import environment

ROOT = Path(__file__).parent.parent.parent
NO_ENGINE = "unix:///nonexistent/docker.sock"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def local_or_skip() -> str:
    try:
        return find_means().name
    except SandboxError as error:
        pytest.skip(f"no embedded sandbox: {error}")


def check_report(done: subprocess.CompletedProcess[str], sandbox: str) -> RunReport:
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == SCRIPTED
    report = RunReport.model_validate(json.loads(done.stdout))
    assert (report.outcome, report.exit_code, report.error) == ("submitted", 0, None)
    assert report.sandbox == sandbox
    assert report.files_changed == ("parcel/pricing.py", "tests/test_pricing.py")
    assert (report.tests.before.status, report.tests.after.status, report.tests.verified) == ("red", "green", True)
    assert report.steps == len(json.loads((BUNDLED / "script.json").read_text()))
    return report


def test_demo_in_the_embedded_sandbox_ends_with_a_branch_and_a_clean_tree() -> None:
    means = local_or_skip()
    command = [sys.executable, "-m", "ostro.cli.main", "demo", "--output", "json"]
    without_engine = environment() | {"DOCKER_HOST": NO_ENGINE}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=without_engine, timeout=120)
    report = check_report(done, means)
    folder = Path(done.stderr.splitlines()[1].removeprefix("repository "))
    assert git(folder, "status", "--porcelain") == ""
    assert git(folder, "branch", "--show-current") == "main\n"
    assert git(folder, "rev-parse", f"{report.branch}~1") == git(folder, "rev-parse", "main")
    git(folder, "switch", "-q", str(report.branch))
    subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=folder, check=True, capture_output=True)


@pytest.mark.docker
def test_demo_in_docker_ends_with_the_same_report(docker_image: str) -> None:
    check_report(ostro("demo", "--sandbox", "docker", "--image", docker_image, "--output", "json"), "docker")


def test_demo_unprotected_when_typed_says_so() -> None:
    done = ostro("demo", "--sandbox", "none", "--output", "json")
    check_report(done, "none")
    assert "unprotected" in done.stderr


@pytest.mark.docker
@pytest.mark.slow
def test_demo_in_a_default_container_falls_to_none_loudly(docker_image: str) -> None:
    tree = [f"{path}:{path}:ro" for path in sorted({sys.prefix, sys.base_prefix})] + [f"{ROOT}:/source:ro"]
    mounts = [word for mount in tree for word in ("--volume", mount)]
    inside = ["--env", "PYTHONPATH=/source/typings", docker_image, sys.executable, "-m", "ostro.cli.main", "demo"]
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", *mounts, *inside, "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    report = check_report(done, "none")
    assert UNPROTECTED in done.stderr
    assert UNPROTECTED in report.warnings


def test_demo_in_text_ends_with_what_to_type_next() -> None:
    done = ostro("demo", "--sandbox", "none")
    assert "submitted: " in done.stdout
    following = done.stdout.partition("next:\n")[2].splitlines()
    assert [line.split()[:2] for line in following][1:] == [["git", "diff"], ["git", "merge"], ["ostro", "view"]]
    subprocess.run(" && ".join(line.strip() for line in following[:3]), shell=True, check=True, capture_output=True)


def test_demo_with_an_endpoint_but_not_live_is_refused() -> None:
    done = ostro("demo", "--endpoint", "http://localhost:1/v1")
    assert done.returncode == 2
    assert "--endpoint needs --live" in done.stderr


PROSE = (
    "The list is sorted, so look at the middle: if it is more than the target, go on in the left half, or the right. "
    * 3
)


def answer_probe(exchange: Exchange) -> None:
    """Answer the questions of the probe as a sound model does, and play the script for all else."""
    question = str(exchange.request.body["messages"][-1]["content"])
    message = exchange.answer["choices"][0]["message"]
    if "Use the tool" in question:
        numbers = [(1, 2), (3, 4)] if "twice" in question else [(17, 25)]
        calls = [{"name": "add", "arguments": json.dumps({"a": a, "b": b})} for a, b in numbers]
        message["content"] = None
        message["tool_calls"] = [
            {"id": f"probe000{index}", "type": "function", "function": call} for index, call in enumerate(calls)
        ]
    elif "binary search" in question:
        message.pop("tool_calls", None)
        message["content"] = PROSE
    exchange.play()


def live(endpoint: ScriptedEndpoint) -> subprocess.CompletedProcess[str]:
    flags = ["--endpoint", endpoint.url, "--model", "m", "--price", "1,2", "--sandbox", "none"]
    return ostro("demo", "--live", *flags, "--output", "json")


def test_demo_live_asks_the_given_endpoint_after_a_probe() -> None:
    turns = json.loads((BUNDLED / "script.json").read_text())
    faults, known = [FaultPlan("probe", 0, 0)], {"probe": answer_probe}
    with ScriptedEndpoint(turns, faults=faults, known_faults=known) as endpoint:
        done = live(endpoint)
    assert done.returncode == 0, done.stderr
    report = RunReport.model_validate(json.loads(done.stdout))
    assert done.stderr.startswith("Live demo: m at")
    assert "tool_call: add(" in done.stderr
    assert len(endpoint.requests) > report.steps
    assert report.cost_usd > 0


def test_demo_live_when_the_endpoint_is_not_fit_stops_after_the_probe() -> None:
    with ScriptedEndpoint([{"content": "blah"}]) as endpoint:
        done = live(endpoint)
    report = RunReport.model_validate(json.loads(done.stdout))
    assert (done.returncode, report.outcome, report.run) == (4, "model_error", "")


def test_bundled_repository_when_made_is_red_at_its_head(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "parcel")
    assert git(folder, "status", "--porcelain") == ""
    done = subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=folder, check=False, capture_output=True)
    assert done.returncode == 1
