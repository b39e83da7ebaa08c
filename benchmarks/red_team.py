"""Grade every forgery of benchmarks/forgeries.py for real, and print how it was noticed.

Beside our grade stands the official one: the same patch is run by the official procedure (apply, put the test files
back, apply the test patch, test) and the `swebench` package judges that log. Ends with 1 when a forgery gets through.

Usage:
    python -m ostro.benchmarks.red_team --swebench ORACLE/bin/python
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.errors import OstroError
from ostro.benchmarks.application import GIT, apply_patch
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.forgeries import FORGERIES
from ostro.benchmarks.forgery import Forgery
from ostro.benchmarks.grading import grade, specification
from ostro.benchmarks.instance import FilesSource, Instance
from ostro.benchmarks.instance_files import SUITE, read_instances
from ostro.benchmarks.official import paths_of_tests
from ostro.benchmarks.official_verdicts import LoggedRun, ask_official
from ostro.benchmarks.recipe import Environment, Flavour
from ostro.benchmarks.results import GradeReport
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import SandboxError
from ostro.sandbox.scratch import scratch_folder

DEFAULT_HOME = Path.home() / ".cache" / "ostro-instances"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Judged:
    """One forgery and both grades; `official` is a verdict, or why there is none."""

    forgery: Forgery
    ours: GradeReport
    official: str = NOT_RUN

    @property
    def got_through(self) -> bool:
        """Whether it counts as resolved."""
        return self.ours.verdict == "resolved" and self.ours.consistency == "consistent"


def base_files(instance: Instance) -> Mapping[str, str]:
    """Return the files of a task whose row holds its base."""
    source = instance.environment.source
    assert isinstance(source, FilesSource)  # the built-in suite's do
    return source.files


def judge_forgery(forgery: Forgery, instance: Instance, environment: Environment) -> GradeReport:
    """Grade one forgery as any other patch."""
    patch = forgery.patch(base_files(instance)).encode()
    with scratch_folder("red-team") as folder:
        return grade(instance, environment, patch, folder, timeout_s=120)


def official_run(forgery: Forgery, instance: Instance, environment: Environment) -> LoggedRun | None:
    """Run one forgery by the official procedure; None where its patch does not apply."""
    with (
        scratch_folder("red-team") as folder,
        open_sandbox(environment.flavour, specification(instance, environment, folder)) as sandbox,
    ):
        if not apply_patch(sandbox, forgery.patch(base_files(instance)).encode()).by:
            return None
        sandbox.run(f"{GIT} checkout HEAD {' '.join(paths_of_tests(instance.test_patch))}", cwd=sandbox.workdir)
        apply_patch(sandbox, instance.test_patch.encode())
        done = sandbox.run(f"{{ {instance.environment.test_cmd}\n}} 2>&1", cwd=sandbox.workdir, timeout_s=120)
    return LoggedRun(
        forgery.name, instance.environment.log_parser, instance.fail_to_pass, instance.pass_to_pass,
        done.output.text(), done.exit_code,
    )  # fmt: skip


def run_team(flavour: Flavour, home: Path, swebench: str, *, base_image: str = "") -> list[Judged]:
    """Grade all forgeries; those of a task that cannot be built here are left out, and said on stderr."""
    tasks = {one.instance_id: one for one in read_instances(SUITE)}
    environments: dict[str, Environment] = {}
    for name in dict.fromkeys(forgery.task for forgery in FORGERIES):
        try:
            environments[name] = build_environment(tasks[name], flavour, home, base_image=base_image)
        except (OstroError, SandboxError) as error:
            sys.stderr.write(f"red_team: {name} is left out: {error}\n")
    judged: list[Judged] = []
    runs: dict[str, LoggedRun] = {}
    for forgery in (one for one in FORGERIES if one.task in environments):
        task, environment = tasks[forgery.task], environments[forgery.task]
        judged.append(Judged(forgery, judge_forgery(forgery, task, environment)))
        if swebench and forgery.task != "ostro__basket" and (run := official_run(forgery, task, environment)):
            runs[forgery.name] = run
    if not swebench:
        return judged
    answers = ask_official(swebench, list(runs.values()))
    verdicts = {name: answer.verdict for name, answer in zip(runs, answers, strict=True)}
    return [Judged(one.forgery, one.ours, _official(one.forgery, verdicts)) for one in judged]


def _official(forgery: Forgery, verdicts: Mapping[str, str]) -> str:
    if forgery.task == "ostro__basket":
        return "no such parser"
    return verdicts.get(forgery.name, "patch_failed")


def table(judged: Sequence[Judged]) -> str:
    """Return the results as a table in Markdown."""
    lines = ["| trick | what it does | swebench | ours | noticed by |", "|---|---|---|---|---|"]
    for one in judged:
        ours = f"{one.ours.verdict}, {one.ours.consistency}" if one.ours.exit_code is not None else one.ours.verdict
        noticed = one.ours.findings[0].replace("|", "\\|") if one.ours.findings else "its tests fail"
        official = f"**{one.official}**" if one.official == "resolved" else one.official
        lines.append(f"| {one.forgery.name} | {one.forgery.idea} | {official} | {ours} | {noticed[:110]} |")
    through = sum(one.got_through for one in judged)
    fooled = sum(one.official == "resolved" for one in judged)
    told = f"{fooled} get past swebench's rules, " if any(one.official != NOT_RUN for one in judged) else ""
    return "\n".join([*lines, "", f"Of {len(judged)} forgeries {told}{through} past ours."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(prog="red_team", description="Grade forged patches; none may count as resolved.")
    parser.add_argument("--sandbox", choices=["docker", "local"], default="local")
    parser.add_argument("--swebench", default="", metavar="PYTHON", help="a Python that has the package swebench")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="what is built is kept here")
    parser.add_argument("--base-image", default="", help="image to build on: Python, venv and git")
    given = parser.parse_args(arguments)
    try:
        judged = run_team(given.sandbox, given.home, given.swebench, base_image=given.base_image)
    except (OstroError, SandboxError) as error:
        sys.stderr.write(f"red_team: {error}. {error.mend}\n")
        return error.exit_code if isinstance(error, OstroError) else 5
    sys.stdout.write(table(judged) + "\n")
    return 1 if not judged or any(one.got_through for one in judged) else 0


if __name__ == "__main__":
    raise SystemExit(main())
