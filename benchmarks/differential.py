"""Compare our verdicts with those of the `swebench` package on a generated corpus of honest logs.

Prints a line a parser and every difference; ends with 1 when there is one.

Usage:
    python -m ostro.benchmarks.differential --swebench ORACLE/bin/python --logs 2000 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ostro.agent.errors import OstroError
from ostro.benchmarks.honest_logs import PARSERS_COMPARED, honest_runs
from ostro.benchmarks.official_verdicts import LoggedRun, Official, ask_official
from ostro.benchmarks.verdict import Reading, read_log

SHOWN = 20


@dataclass(frozen=True)
class Difference:
    """One log on which the two graders disagree, and in what."""

    run: LoggedRun
    what: str


def our_reading(run: LoggedRun) -> Reading:
    """Read a run as grading does."""
    return read_log(
        run.output, run.parser, run.fail_to_pass, run.pass_to_pass,
        exit_code=run.exit_code, eval_type=run.eval_type, surroundings=run.log,
    )  # fmt: skip


def differences(runs: Sequence[LoggedRun], answers: Sequence[Official]) -> list[Difference]:
    """Return where verdicts, or the tests that they rest on, are not the same."""
    found: list[Difference] = []
    for run, official in zip(runs, answers, strict=True):
        ours = our_reading(run)
        if ours.verdict != official.verdict:
            found.append(Difference(run, f"{ours.verdict} here, {official.verdict} there"))
        elif official.applied and (ours.fail_to_pass, ours.pass_to_pass) != official.tests:
            found.append(Difference(run, f"other tests: {ours.fail_to_pass} {ours.pass_to_pass}, {official.tests}"))
    return found


def report(runs: Sequence[LoggedRun], found: Sequence[Difference]) -> str:
    """Return the outcome as text."""
    counts, verdicts = Counter(run.parser for run in runs), Counter[tuple[str, str]]()
    for run in runs:
        verdicts[run.parser, our_reading(run).verdict] += 1
    bad = Counter(one.run.parser for one in found)
    lines = [f"{'parser':<16}{'logs':>6}{'resolved':>10}{'partial':>9}{'unresolved':>12}{'differ':>8}"]
    for parser in PARSERS_COMPARED:
        one = [verdicts[parser, verdict] for verdict in ("resolved", "partial", "unresolved")]
        lines.append(f"{parser:<16}{counts[parser]:>6}{one[0]:>10}{one[1]:>9}{one[2]:>12}{bad[parser]:>8}")
    lines += [f"{one.run.name} ({one.run.parser}): {one.what}" for one in found[:SHOWN]]
    return "\n".join([*lines, f"{len(runs) - len(found)} of {len(runs)} logs: the same verdict on the same tests"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(prog="differential", description="Compare our grader with swebench's.")
    parser.add_argument("--swebench", required=True, metavar="PYTHON", help="a Python that has the package swebench")
    parser.add_argument("--logs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    runs = honest_runs(given.logs, given.seed)
    try:
        found = differences(runs, ask_official(given.swebench, runs))
    except OstroError as error:
        sys.stderr.write(f"differential: {error}. {error.mend}\n")
        return error.exit_code
    sys.stdout.write(report(runs, found) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
