"""Drive `ostro run` over instances with a scripted policy, in real sandboxes, and judge what is on the branch.

For each row: its environment is built, the policy (benchmarks/policy.py) is served over HTTP, `ostro run` works, and
the patch of its branch is graded by the row's tests. Ends with 1 when any instance fails.

Usage:
    python -m ostro.benchmarks.drive_instances FOLDER --sandbox docker --sandbox local --only flask --out results.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ostro.agent.errors import OstroError
from ostro.agent.outcome import Ending, RunReport
from ostro.agent.record.events import Observed
from ostro.benchmarks.diffs import DiffError
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import grade
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.ostro_run import Finished, run_ostro
from ostro.benchmarks.policy import scripted_turns
from ostro.benchmarks.recipe import Environment, Flavour
from ostro.benchmarks.results import GradeReport
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.sandbox.protocol import SandboxError

RUN_TIMEOUT_S = 1800.0
DEFAULT_HOME = Path.home() / ".cache" / "ostro-instances"


class DriveError(OstroError):
    """The command printed no report: a bug of ours."""


class Driven(BaseModel):
    """How one instance went in one sandbox; a row of the table and of the JSON.

    Attributes:
        sandbox: the flavour that was asked for; `isolation` is what the report names.
        resolved: the tests that the row names pass on the branch's patch.
        reproduced: the test run before the fix failed, the one after it passed, as the agent saw them.
        failed_calls: calls of tools other than bash that did not do what they were meant to.
        problem: why it counts as failed; "" when it does not.
    """

    model_config = ConfigDict(frozen=True)

    instance_id: str
    sandbox: Flavour
    isolation: str = ""
    outcome: str = ""
    exit_code: int | None = None
    resolved: bool = False
    reproduced: bool = False
    verified: bool = False
    steps: int = 0
    failed_calls: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()
    build_s: float = 0.0
    run_s: float = 0.0
    grade_s: float = 0.0
    problem: str = ""


def drive(
    instance: Instance, flavour: Flavour, home: Path, *, base_image: str = "", keep: Path | None = None
) -> Driven:
    """Build, run and grade one instance; what goes wrong is told in `Driven.problem`.

    Args:
        instance: the row.
        flavour: which sandbox.
        home: OSTRO_HOME of the run and of the environments.
        base_image: see `build_environment`.
        keep: folder to keep the run in; a temporary one otherwise.
    """
    scratch = keep or Path(tempfile.mkdtemp(prefix="ostro-drive-"))
    try:
        return _drive(instance, flavour, home, base_image, scratch)
    except (OstroError, SandboxError, DiffError, subprocess.TimeoutExpired) as error:
        return Driven(instance_id=instance.instance_id, sandbox=flavour, problem=f"{type(error).__name__}: {error}")
    finally:
        if keep is None:
            shutil.rmtree(scratch, ignore_errors=True)


def _drive(instance: Instance, flavour: Flavour, home: Path, base_image: str, scratch: Path) -> Driven:
    started = time.monotonic()
    environment = build_environment(instance, flavour, home, base_image=base_image)
    built = time.monotonic()
    finished = play(instance, environment, home, scratch)
    ran = time.monotonic()
    judged = grade(instance, environment, finished.patch, scratch / "grade")
    report = finished.report
    if report is None:
        raise DriveError(f"no report, exit code {finished.exit_code}: {finished.stderr}")
    observed = [event for event in finished.events() if isinstance(event, Observed)]
    driven = Driven(
        instance_id=instance.instance_id,
        sandbox=flavour,
        isolation=report.sandbox,
        outcome=report.outcome,
        exit_code=finished.exit_code,
        resolved=judged.verdict == "resolved" and judged.consistency == "consistent",
        reproduced=_reproduced(observed),
        verified=report.tests.verified,
        steps=report.steps,
        failed_calls=tuple(f"{one.name}: {one.text[:200]}" for one in observed if not one.ok and one.name != "bash"),
        failed_tests=judged.fail_to_pass.failure + judged.pass_to_pass.failure,
        build_s=round(built - started, 1),
        run_s=round(ran - built, 1),
        grade_s=round(time.monotonic() - ran, 1),
    )
    return driven.model_copy(update={"problem": _problem(driven, report, judged)})


def _problem(driven: Driven, report: RunReport, judged: GradeReport) -> str:
    """Return the first thing that is not as it should be, "" when all is."""
    if driven.exit_code or driven.outcome != Ending.SUBMITTED:
        return f"ended with {driven.outcome}: {report.error.message if report.error else report.reason}"
    if judged.verdict == "patch_failed":
        return f"the branch's patch: {'; '.join(judged.findings)}"
    if judged.verdict != "resolved":
        return "the branch does not make the tests pass"
    if judged.consistency != "consistent":
        return f"the tests pass, but the grade is {judged.consistency}: {'; '.join(judged.findings)}"
    if driven.failed_calls:
        return f"a call failed: {driven.failed_calls[0]}"
    return "" if driven.reproduced else "the agent did not see the tests fail before the fix and pass after it"


def play(instance: Instance, environment: Environment, home: Path, scratch: Path) -> Finished:
    """Serve the scripted policy of `instance` and run `ostro` against it."""
    turns = scripted_turns(instance, environment.repository)
    with ScriptedEndpoint(turns) as endpoint:
        flags = ["--endpoint", endpoint.url, "--model", endpoint.model, "--price", "0,0", "--time", str(RUN_TIMEOUT_S)]
        return run_ostro(instance, environment, flags, scratch=scratch, home=home, timeout_s=RUN_TIMEOUT_S + 60)


def _reproduced(observed: Sequence[Observed]) -> bool:
    """Whether the first command that the agent ran failed and the last one passed: both are the tests."""
    codes = [event.data["exit_code"] for event in observed if event.name == "bash" and "exit_code" in event.data]
    return len(codes) > 1 and codes[0] != 0 and codes[-1] == 0


def table(results: Sequence[Driven]) -> str:
    """Return the results as lines of text, one instance a line, and the total."""
    lines = [f"{'instance':32} {'sandbox':7} {'outcome':12} {'resolved':8} {'red->green':10} {'steps':>5} {'run s':>6}"]
    for one in results:
        marks = ("yes" if one.resolved else "no", "yes" if one.reproduced else "no")
        lines.append(
            f"{one.instance_id:32} {one.sandbox:7} {one.outcome:12} {marks[0]:8} {marks[1]:10} "
            f"{one.steps:5} {one.run_s:6.1f}{'  ' + one.problem if one.problem else ''}"
        )
    good = sum(not one.problem for one in results)
    return "\n".join([*lines, f"{good} of {len(results)} as they should be"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(prog="drive_instances", description="Drive ostro over instances, scripted.")
    parser.add_argument("rows", type=Path, help="a .json or .jsonl file, or a folder of them")
    parser.add_argument("--sandbox", action="append", choices=["docker", "local"], help="repeatable; both by default")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="ids that contain TEXT; repeatable")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="what is built is kept here")
    parser.add_argument("--base-image", default="", help="image to build on: Python, venv and git")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--keep", type=Path, help="keep every run below this folder")
    given = parser.parse_args(arguments)
    try:
        rows = [row for row in read_instances(given.rows) if not given.only or _wanted(row, given.only)]
    except OstroError as error:
        sys.stderr.write(f"drive_instances: {error}. {error.mend}\n")
        return error.exit_code
    results: list[Driven] = []
    flavours: list[Flavour] = given.sandbox or ["docker", "local"]
    for flavour in flavours:
        for row in rows:
            keep = given.keep and given.keep / flavour / row.instance_id
            results.append(drive(row, flavour, given.home, base_image=given.base_image, keep=keep))
            sys.stderr.write(f"{results[-1].instance_id} {flavour}: {results[-1].problem or 'ok'}\n")
    if given.out:
        given.out.write_text(json.dumps([one.model_dump() for one in results], indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table(results) + "\n")
    return 1 if not results or any(one.problem for one in results) else 0


def _wanted(row: Instance, texts: Sequence[str]) -> bool:
    return any(text in row.instance_id for text in texts)


if __name__ == "__main__":
    raise SystemExit(main())
