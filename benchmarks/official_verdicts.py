"""The official grader's verdicts on logs, computed by the `swebench` package in a Python of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

from ostro.agent.errors import UsageError
from ostro.benchmarks.results import TestOutcomes, Verdict
from ostro.benchmarks.test_plan import END, EXIT, START
from ostro.benchmarks.verdict import EvalType

TIMEOUT_S = 900
_PARSERS = {"unittest": "django"}
_VERDICTS: dict[str, Verdict] = {
    "RESOLVED_FULL": "resolved",
    "RESOLVED_PARTIAL": "partial",
    "RESOLVED_NO": "unresolved",
}


class OracleError(UsageError):
    """The Python that should have swebench could not be asked."""


@dataclass(frozen=True)
class LoggedRun:
    """A test run as its log: what both graders judge.

    Attributes:
        parser: our name of it.
        output: what the tests printed.
    """

    name: str
    parser: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    output: str
    exit_code: int
    eval_type: EvalType = "pass_and_fail"

    @property
    def log(self) -> str:
        """The log as swebench's scripts leave it under `set -x`, markers and exit code included."""
        return (
            f"+ git checkout HEAD\n+ git apply -v -\n+ : '{START}'\n{self.output}\n"
            f"+ SWEBENCH_TEST_EXIT_CODE={self.exit_code}\n+ : '{END}'\n+ echo '{EXIT}: {self.exit_code}'\n"
            f"{EXIT}: {self.exit_code}\n+ git checkout HEAD\n"
        )


@dataclass(frozen=True)
class Official:
    """What swebench says of one log.

    Attributes:
        applied: it found a test run in it.
        tests: its outcomes of FAIL_TO_PASS and PASS_TO_PASS.
    """

    verdict: Verdict
    applied: bool
    tests: tuple[TestOutcomes, TestOutcomes]


def ask_official(python: str, runs: Sequence[LoggedRun]) -> list[Official]:
    """Return what swebench says of each run, in order.

    Args:
        python: an interpreter that has swebench 5 (see benchmarks/swebench_oracle.py).
        runs: what to judge.

    Raises:
        OracleError: it cannot be started, or fails.
    """
    lines = [
        json.dumps({
            "instance_id": run.name,
            "parser": f"parse_log_{_PARSERS.get(run.parser, run.parser)}",
            "eval_type": run.eval_type,
            "FAIL_TO_PASS": run.fail_to_pass,
            "PASS_TO_PASS": run.pass_to_pass,
            "log": run.log,
        })
        for run in runs
    ]  # fmt: skip
    with as_file(files("ostro.benchmarks").joinpath("swebench_oracle.py")) as program:
        try:
            done = subprocess.run(
                [python, "-I", str(program)], input="\n".join(lines), capture_output=True, text=True,
                timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OracleError(f"{python} cannot be asked: {error}", mend="Name a Python that has swebench.") from error
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(answers) != len(runs):
        last = done.stderr.strip().splitlines()[-1:] or ["it ended early"]
        raise OracleError(f"{python}: {last[0]}", mend="pip install --no-deps swebench==5.0.2 unidiff")
    return [_official(answer) for answer in answers]


def _official(answer: dict[str, Any]) -> Official:
    tests: dict[str, Any] = answer["tests_status"] or {}
    outcomes = [TestOutcomes.model_validate(tests.get(key, {})) for key in ("FAIL_TO_PASS", "PASS_TO_PASS")]
    return Official(_VERDICTS[answer["status"]], answer["applied"], (outcomes[0], outcomes[1]))
