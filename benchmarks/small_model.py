"""Measure what a small real model gets done through `ostro run`, and what it can do when asked once.

Two modes over the same rows and the same judge (benchmarks/grading.py): runs of the agent against an
OpenAI-compatible endpoint, and `--once`, one question for the corrected file without any agent: the ceiling.

Usage:
    python -m ostro.benchmarks.small_model --endpoint http://127.0.0.1:8099/v1 --rows rows.jsonl --once
    python -m ostro.benchmarks.small_model --endpoint http://127.0.0.1:8099/v1 --rows rows.jsonl --steps 15
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ostro.agent.errors import ModelError, OstroError
from ostro.agent.record.events import Event, Planned
from ostro.agent.record.trajectory import TrajectoryError
from ostro.benchmarks.diffs import touched_paths
from ostro.benchmarks.drive_instances import DEFAULT_HOME
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.grading import grade
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.ostro_run import run_ostro
from ostro.benchmarks.recipe import Environment, Flavour
from ostro.sandbox.git_process import must, run_git
from ostro.sandbox.protocol import SandboxError

ONCE_MAX_TOKENS = 1024
TEMPERATURE = 0.15
REQUEST_TIMEOUT_S = 600.0
OVERRUN_S = 120.0
"""What a run may take over its own time limit: the tests before and after, and the sandbox's start and end."""

REFUSED = "refused_"
AS_TEXT = "text_"
"""How the intake's stages are named that refuse a call, and that find one in the text (agent/intake.py)."""

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Plan:
    """What is measured with: the flags of the script that concern one run."""

    endpoint: str
    model: str
    sandbox: Flavour
    steps: int
    max_tokens: int
    time_s: float
    home: Path
    base_image: str = ""


class Measured(BaseModel):
    """One row of the table.

    Attributes:
        outcome: the ending of the run; `answered` or `no_file` of a single question.
        valid: a report was printed, its outcome is typed, and the trajectory's chain holds.
        calls: how many calls the model made, wherever it wrote them.
        as_text: how many stood in the content instead of in `tool_calls`.
        repaired: how often a stage of the intake mended something of a call.
        refused: how often it had to refuse one.
        repairs: both, by stage, as the report has them.
    """

    model_config = ConfigDict(frozen=True)

    instance_id: str
    outcome: str = ""
    resolved: bool = False
    patched: bool = False
    valid: bool = False
    steps: int = 0
    calls: int = 0
    as_text: int = 0
    repaired: int = 0
    refused: int = 0
    repairs: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    problem: str = ""


def run_agent(instance: Instance, plan: Plan, scratch: Path) -> Measured:
    """Let the agent work on one row and judge what it left, whatever the ending."""
    environment = build_environment(instance, plan.sandbox, plan.home, base_image=plan.base_image)
    flags = ["--endpoint", plan.endpoint, "--model", plan.model, "--price", "0,0", "--steps", str(plan.steps)]
    flags += ["--max-tokens", str(plan.max_tokens), "--time", str(plan.time_s)]
    started = time.monotonic()
    finished = run_ostro(
        instance, environment, flags, scratch=scratch, home=plan.home, timeout_s=plan.time_s + OVERRUN_S
    )
    seconds = round(time.monotonic() - started, 1)
    problem = ""
    events: tuple[Event, ...] = ()
    try:
        events = finished.events()
    except TrajectoryError as error:
        problem = f"the trajectory is not valid: {error}"
    report = finished.report
    if report is None:
        problem = f"no report, exit code {finished.exit_code}: {finished.stderr}"
    patch = finished.patch or finished.salvaged
    repairs = dict(report.repairs) if report else {}
    return Measured(
        instance_id=instance.instance_id,
        outcome=report.outcome if report else "",
        resolved=bool(patch) and grade(instance, environment, patch, scratch / "grade").verdict == "resolved",
        patched=bool(patch),
        valid=not problem,
        steps=report.steps if report else 0,
        calls=sum(len(event.calls) for event in events if isinstance(event, Planned)),
        as_text=_times(repairs, AS_TEXT),
        repaired=_times(repairs) - _times(repairs, AS_TEXT) - _times(repairs, REFUSED),
        refused=_times(repairs, REFUSED),
        repairs=repairs,
        seconds=seconds,
        problem=problem or (report.error.message if report and report.error else ""),
    )


def _times(repairs: Mapping[str, int], prefix: str = "") -> int:
    return sum(times for stage, times in repairs.items() if stage.startswith(prefix))


def ask_once(instance: Instance, plan: Plan, scratch: Path) -> Measured:
    """Ask for the corrected file in one completion, put it in place, and run the row's tests."""
    environment = build_environment(instance, plan.sandbox, plan.home, base_image=plan.base_image)
    path = touched_paths(instance.patch)[0]
    started = time.monotonic()
    answer = complete(plan, question(instance, path, (environment.repository / path).read_text(encoding="utf-8")))
    seconds = round(time.monotonic() - started, 1)
    content = last_block(answer)
    patch = _replaced(environment, path, content, scratch) if content is not None else b""
    return Measured(
        instance_id=instance.instance_id,
        outcome="no_file" if content is None else "answered",
        resolved=bool(patch) and grade(instance, environment, patch, scratch / "grade").verdict == "resolved",
        patched=bool(patch),
        valid=True,
        steps=1,
        seconds=seconds,
    )


def question(instance: Instance, path: str, content: str) -> str:
    """Return what the model is asked: the issue, the file, and the form of the answer."""
    return (
        f"{instance.problem_statement}\n\nThis is {path}:\n\n```python\n{content}```\n\n"
        "Fix the problem. Answer with the whole corrected file in one fenced code block and nothing else."
    )


def last_block(answer: str) -> str | None:
    """Return the content of the last fenced code block, None when there is none."""
    blocks = _FENCE.findall(answer)
    return blocks[-1] if blocks else None


class _Message(BaseModel):
    content: str | None


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


def complete(plan: Plan, text: str) -> str:
    """Return the answer to one user message.

    Raises:
        ModelError: the endpoint cannot be reached, refuses, or answers something else.
    """
    body = {
        "model": plan.model,
        "messages": [{"role": "user", "content": text}],
        "temperature": TEMPERATURE,
        "max_tokens": ONCE_MAX_TOKENS,
    }
    url = f"{plan.endpoint.rstrip('/')}/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310  # an http(s) base URL
            completion = _Completion.model_validate_json(answer.read())
    except urllib.error.HTTPError as error:
        raise ModelError(f"{url}: HTTP {error.code}", kind="invalid", status=error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(f"{url}: {error}", kind="unreachable", mend="Is the server running?") from error
    except ValidationError as error:
        raise ModelError(f"{url}: no chat completion came back", kind="protocol") from error
    return completion.choices[0].message.content or ""


def _replaced(environment: Environment, path: str, content: str, scratch: Path) -> bytes:
    """Return the patch that gives `path` this content."""
    copy = scratch / "repository"
    shutil.copytree(environment.repository, copy, symlinks=True)
    (copy / path).write_text(content, encoding="utf-8")
    must(run_git(["add", "--all"], cwd=copy), doing="the answer cannot be added")
    arguments = ["diff-index", "--cached", "-p", "--binary", "--full-index", environment.base_commit]
    return must(run_git(arguments, cwd=copy), doing="the answer cannot be compared").stdout


def table(results: Sequence[Measured]) -> str:
    """Return the results as lines of text, one row a line, and the totals."""
    lines = [f"{'instance':24} {'outcome':14} {'resolved':8} {'valid':5} steps calls text repaired refused     s"]
    for one in results:
        problem = f"  {one.problem}" if one.problem else ""
        marks = ("yes" if one.resolved else "no", "yes" if one.valid else "NO")
        lines.append(
            f"{one.instance_id:24} {one.outcome:14} {marks[0]:8} {marks[1]:5} {one.steps:5} {one.calls:5} "
            f"{one.as_text:4} {one.repaired:8} {one.refused:7} {one.seconds:5.0f}{problem}"
        )
    repairs = sum((Counter(one.repairs) for one in results), Counter[str]())
    totals = f"{sum(one.resolved for one in results)} of {len(results)} resolved"
    totals += f"; {sum(one.valid for one in results)} valid; {sum(one.calls for one in results)} calls"
    totals += f", {sum(one.as_text for one in results)} as text, {sum(one.repaired for one in results)} repaired"
    totals += f", {sum(one.refused for one in results)} refused"
    return "\n".join([*lines, totals, f"intake stages: {dict(sorted(repairs.items()))}"])


def measure(rows: Iterable[Instance], plan: Plan, *, once: bool, keep: Path | None) -> list[Measured]:
    """Measure every row in turn; an error of one becomes its `problem`."""
    results: list[Measured] = []
    for row in rows:
        scratch = keep / row.instance_id if keep else Path(tempfile.mkdtemp(prefix="ostro-small-"))
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            results.append((ask_once if once else run_agent)(row, plan, scratch))
        except (OstroError, SandboxError, subprocess.TimeoutExpired) as error:
            results.append(Measured(instance_id=row.instance_id, problem=f"{type(error).__name__}: {error}"))
        finally:
            if keep is None:
                shutil.rmtree(scratch, ignore_errors=True)
        sys.stderr.write(f"{results[-1].instance_id}: {results[-1].outcome} resolved={results[-1].resolved}\n")
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="small_model", description="Measure a small model through ostro.")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="base URL, ends with /v1")
    parser.add_argument("--rows", type=Path, action="append", required=True, help="file or folder of rows; repeatable")
    parser.add_argument("--model", default="small", help="id that is sent")
    parser.add_argument("--once", action="store_true", help="one question for the corrected file, no agent")
    parser.add_argument("--only", default="", metavar="TEXT", help="ids that contain TEXT")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--time", type=float, default=600.0, metavar="S")
    parser.add_argument("--sandbox", choices=["docker", "local"], default="local")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="what is built is kept here")
    parser.add_argument("--base-image", default="")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--keep", type=Path, help="keep every run below this folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; 1 when a run was not valid or ended in a bug of ours."""
    given = _parser().parse_args(arguments)
    plan = Plan(
        endpoint=given.endpoint,
        model=given.model,
        sandbox=given.sandbox,
        steps=given.steps,
        max_tokens=given.max_tokens,
        time_s=given.time,
        home=given.home,
        base_image=given.base_image,
    )
    try:
        rows = [row for path in given.rows for row in read_instances(path) if given.only in row.instance_id]
    except OstroError as error:
        sys.stderr.write(f"small_model: {error}. {error.mend}\n")
        return error.exit_code
    results = measure(rows, plan, once=given.once, keep=given.keep)
    if given.out:
        given.out.write_text(json.dumps([one.model_dump() for one in results], indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table(results) + "\n")
    return 1 if not results or any(not one.valid or one.outcome == "internal_error" for one in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
