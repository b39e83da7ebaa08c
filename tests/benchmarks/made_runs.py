"""Run folders as the harness leaves them, made without running anything; equal for equal arguments.

The logs are written by the real trajectory writer, the rows are those that this project ships.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ostro.agent.history import SystemMessage, ToolCall, UserMessage, call_id
from ostro.agent.model.reply import RawCall, Usage
from ostro.agent.outcome import Ending, Outcome, TestRun, Tokens
from ostro.agent.record.events import (
    Checkpointed,
    Compacted,
    Ended,
    Event,
    Limited,
    Noted,
    Nudged,
    Observed,
    Planned,
    Resumed,
    Retried,
    RunStarted,
    Tested,
)
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.results import GradeReport, InstanceResult, RunManifest, TestOutcomes
from ostro.benchmarks.store import (
    AGENT_RUN,
    DATASET,
    MANIFEST,
    PATCH,
    RESULT,
    TEST_LOG,
    TRAJECTORY,
    instance_folder,
    write_text,
)

ROWS = Path(__file__).parent / "data" / "small.jsonl"
PLAN: Mapping[str, tuple[str, int]] = {
    "resolved": ("submitted", 11),
    "unresolved": ("submitted", 5),
    "partial": ("step_limit", 2),
    "empty_patch": ("no_action", 2),
    "patch_failed": ("submitted", 1),
    "test_timeout": ("cost_limit", 1),
    "inconsistent": ("submitted", 1),
}
"""How each kind of result ends, and how often it comes in a run of 23."""

PRICE = (0.4, 2.0)


def manifest(run_id: str, ids: Sequence[str], **changes: Any) -> RunManifest:
    """Return what ran; the same but for `changes`."""
    values: dict[str, Any] = {
        "kind": "eval",
        "run_id": run_id,
        "started": "2025-06-01T09:30:00.000+00:00",
        "ostro_version": "0.1.0",
        "dataset": "smallbugs",
        "dataset_sha256": "5f" * 32,
        "instances": len(ids),
        "instance_ids": tuple(ids),
        "model": "devstral-small",
        "endpoint": "mistral",
        "sampling": {"temperature": 0.2, "max_tokens": 8192},
        "price": PRICE,
        "prompt_sha256": "c0" * 32,
        "sandbox": "docker",
        "host": {"cpus": 2, "kernel": "6.1"},
    }
    return RunManifest.model_validate(values | changes)


def result(instance_id: str, status: str = "resolved", **changes: Any) -> InstanceResult:
    """Return a result that counts as `status`."""
    consistency = status if status in ("inconsistent", "suspect") else "consistent"
    verdict = "resolved" if consistency != "consistent" else status
    done = TestOutcomes(success=("tests/test_it.py::test_new",))
    missed = TestOutcomes(failure=("tests/test_it.py::test_new",))
    grade = None
    if status not in ("infra", "not_final", "quarantined"):
        grade = GradeReport.model_validate(
            {"verdict": verdict, "consistency": consistency, "fail_to_pass": done if verdict == "resolved" else missed}
        )
    values: dict[str, Any] = {"instance_id": instance_id, "ending": "submitted", "grade": grade, "steps": 10}
    values |= {"infra": "the engine went away"} if status == "infra" else {}
    values |= {"flagged": "flaky: 2 of 5 runs of gold fail"} if status == "quarantined" else {}
    return InstanceResult.model_validate(values | {"cost_usd": 0.01, "seconds": 30.0} | changes)


def save(
    folder: Path, results: Sequence[InstanceResult], ids: Sequence[str] = (), run_id: str = "", **changes: Any
) -> Path:
    """Write a run folder that holds the manifest and the results only."""
    names = ids or tuple(dict.fromkeys(one.instance_id for one in results))
    write_text(folder / MANIFEST, manifest(run_id or folder.name, names, **changes).model_dump_json())
    for one in results:
        path = instance_folder(folder, one.instance_id, one.sample) / RESULT
        write_text(path, one.model_dump_json())
    return folder


def make_run(folder: Path, count: int = 23, *, price: tuple[float, float] = PRICE, output_lines: int = 30) -> Path:
    """Write a whole run folder: rows, results, patches, test logs, and a trajectory for each instance."""
    chance = random.Random(7)
    rows = [_row(index, row) for index, row in zip(range(count), _cycle(read_instances(ROWS)), strict=False)]
    kinds = [kind for kind, (_, often) in PLAN.items() for _ in range(often)]
    chance.shuffle(kinds)
    results: list[InstanceResult] = []
    for index, row in enumerate(rows):
        kind = kinds[index % len(kinds)]
        target = instance_folder(folder, row.instance_id)
        results.append(_fill(target, row, kind, chance, price, output_lines))
    write_text(folder / DATASET, "".join(row.model_dump_json(by_alias=True, exclude_none=True) + "\n" for row in rows))
    return save(folder, results, price=price)


def write_log(path: Path, events: Sequence[Event]) -> None:
    """Write a trajectory."""
    path.unlink(missing_ok=True)
    with TrajectoryWriter(path) as log:
        for event in events:
            log.write(event)


def started(title: str, text: str, model: str = "devstral-small") -> RunStarted:
    """Return the first event of a log."""
    return RunStarted(
        ostro_version="0.1.0",
        run_id="20250601-093000-abcd",
        task={"title": title},
        model=model,
        endpoint="mistral",
        base_url="https://api.mistral.ai/v1",
        sampling={},
        price=None,
        prompt_sha256="",
        tools_sha256="",
        base_commit="0123456789abcdef" * 2 + "01234567",
        sandbox="docker",
        sandbox_description="docker: no network, 2 CPUs",
        image=None,
        config={},
        messages=(SystemMessage(text="You solve issues in a repository."), UserMessage(text=text)),
    )


def planned(turn: int, text: str, calls: Sequence[tuple[str, Mapping[str, Any]]], **changes: Any) -> Planned:
    """Return one reply of the model."""
    made = [ToolCall(id=call_id(turn, i), name=name, arguments=dict(given)) for i, (name, given) in enumerate(calls)]
    values: dict[str, Any] = {
        "turn": turn, "text": text, "calls": tuple(made), "finish_reason": "tool_calls", "usage": Usage(),
        "cost_usd": 0.0, "cost_source": "catalogue",
    }  # fmt: skip
    return Planned(**(values | changes))


def observed(turn: int, text: str, *, name: str = "bash", ok: bool = True, **changes: Any) -> Observed:
    """Return what the first call of a turn gave back."""
    values = {"turn": turn, "call_id": call_id(turn, 0), "name": name, "text": text, "ok": ok, "mutated": False}
    return Observed(**(values | changes))


def _cycle(rows: Sequence[Instance]) -> Any:
    while True:
        yield from rows


def _row(index: int, row: Instance) -> Instance:
    return row.model_copy(update={"instance_id": f"{row.instance_id}-{1000 + index * 37}"})


def _fill(
    folder: Path, row: Instance, kind: str, chance: random.Random, price: tuple[float, float], output_lines: int
) -> InstanceResult:
    ending = PLAN[kind][0]
    steps = chance.randint(6, 14) if kind == "resolved" else chance.randint(9, 30)
    patch = "" if kind == "empty_patch" else row.patch if kind == "resolved" else row.patch.replace("+ ", "+  ")
    events = list(_events(row, steps, ending, patch, chance, output_lines))
    usages = [event.usage for event in events if isinstance(event, Planned)]
    tokens = Tokens(
        input=sum(usage.input_tokens for usage in usages),
        cached=sum(usage.cached_tokens for usage in usages),
        output=sum(usage.output_tokens for usage in usages),
    )
    cost = (tokens.input * price[0] + tokens.output * price[1]) / 1e6
    seconds = sum(getattr(event, "latency_s", 0.0) + getattr(event, "duration_s", 0.0) for event in events) + 6.0
    outcome = Outcome(ending=Ending(ending), reason="The issue is fixed and a test shows it.")
    events.append(
        Ended(outcome=outcome, steps=steps, tokens=tokens, cost_usd=cost, cost_source="catalogue", seconds=seconds)
    )
    write_log(folder / AGENT_RUN / TRAJECTORY, events)
    write_text(folder / PATCH, patch)
    write_text(folder / TEST_LOG, "".join(f"{name} PASSED\n" for name in row.pass_to_pass))
    return InstanceResult(
        instance_id=row.instance_id,
        ending=ending,
        grade=_grade(row, kind),
        steps=steps,
        tokens=tokens,
        cost_usd=cost,
        cost_source="catalogue",
        seconds=seconds,
        patch_bytes=len(patch.encode()),
        repairs={"json": 1} if kind == "unresolved" else {},
    )


def _grade(row: Instance, kind: str) -> GradeReport:
    good = kind in ("resolved", "inconsistent")
    findings = ("exit code 1, though every test of the log passed",) if kind == "inconsistent" else ()
    to_fix = TestOutcomes(success=row.fail_to_pass) if good else TestOutcomes(failure=row.fail_to_pass)
    verdict = "resolved" if good else kind
    return GradeReport.model_validate(
        {
            "verdict": verdict,
            "consistency": "inconsistent" if findings else "consistent",
            "applied_by": "git apply",
            "fail_to_pass": to_fix,
            "pass_to_pass": TestOutcomes(success=row.pass_to_pass),
            "tests_seen": len(row.fail_to_pass) + len(row.pass_to_pass),
            "exit_code": 0 if kind == "resolved" else 1,
            "duration_s": 1.4,
            "findings": findings,
        }
    )


def _events(row: Instance, steps: int, ending: str, patch: str, chance: random.Random, output_lines: int) -> Any:
    yield started(row.problem_statement.splitlines()[0], row.problem_statement)
    path = row.patch.splitlines()[0].rpartition(" b/")[2]
    removed = "\n".join(line[1:] for line in row.patch.splitlines() if line.startswith("-") and line[1:2] != "-")
    added = "\n".join(line[1:] for line in row.patch.splitlines() if line.startswith("+") and line[1:2] != "+")
    window = 3_000
    for turn in range(steps):
        window += chance.randint(200, 1_500)
        last = turn == steps - 1
        name, arguments, text = _move(turn, last and ending == "submitted", path, (removed, added))
        usage = Usage(input_tokens=window, cached_tokens=window * 2 // 3, output_tokens=chance.randint(40, 400))
        repaired = {"repairs": ("json_mended",), "raw_calls": (RawCall(name=name, arguments="{'path': "),)}
        yield planned(
            turn, text, [(name, arguments)], usage=usage, cost_usd=window * 0.4e-6,
            latency_s=round(chance.uniform(0.8, 6.0), 2), **(repaired if turn == 4 else {}),
        )  # fmt: skip
        output = "\n".join(_line(path, number, chance) for number in range(chance.randint(1, output_lines)))
        ok = turn % 5 != 3
        yield observed(turn, output, name=name, ok=ok, duration_s=round(chance.uniform(0.05, 3.0), 2))
        yield from _extras(turn)
    if ending != "submitted":
        yield Limited(turn=steps, limit=ending, detail="reached")
    result = TestRun(status="green", exit_code=0, duration_s=1.2, summary="5 passed")
    yield Tested(phase="after", command=row.environment.test_cmd, result=result)


def _move(turn: int, submits: bool, path: str, edit: tuple[str, str]) -> tuple[str, Mapping[str, Any], str]:
    if submits:
        return "submit", {"summary": f"Fix {path}; the tests pass."}, "The review shows what I meant to change."
    moves: Sequence[tuple[str, Mapping[str, Any], str]] = (
        ("str_replace_editor", {"command": "view", "path": path}, "I start with the file that the issue names."),
        ("bash", {"command": f"grep -rn 'def ' {path} | head -20"}, "Where is it used?"),
        ("bash", {"command": "python3 -m pytest -q\ngit status --short"}, "Which tests fail now?"),
        (
            "str_replace_editor",
            {"command": "str_replace", "path": path, "old_str": edit[0], "new_str": edit[1]},
            "The comparison is off by one; that is the fix.",
        ),
    )
    return moves[turn % len(moves)]


def _line(path: str, number: int, chance: random.Random) -> str:
    words = ("value", "total", "return", "index", "name", "assert", "result", "parse", "for", "in", "range", "None")
    return f"{path}:{number + 1}: " + " ".join(chance.choice(words) for _ in range(chance.randint(3, 12)))


def _extras(turn: int) -> Any:
    if turn == 2:
        yield Retried(turn=turn, kind="rate", wait_s=2.0, detail="HTTP 429")
        yield Nudged(turn=turn, kind="no_call", text="Your reply holds no call; use one of the tools.", into="message")
    if turn == 3:
        yield Checkpointed(turn=turn, path="checkpoints/3.tar", digest="ab" * 16, size_bytes=20_480)
    if turn == 5:
        yield Resumed(turn=turn, sandbox="rebuilt", restored="ab" * 16, rerun=(call_id(4, 0),))
        yield Noted(kind="warning", text="the branch moved while the run worked")
    if turn == 20:
        yield Compacted(turn=turn, masked={4: "masked"}, tokens_before=30_000, tokens_after=12_000)


def copy_instances(folder: Path, count: int) -> Path:
    """Fill a made run up to `count` instances by copies of those that it has."""
    have = sorted((folder / "instances").iterdir())
    results = [InstanceResult.model_validate_json((one / RESULT).read_bytes()) for one in have]
    for index in range(len(have), count):
        source, one = have[index % len(have)], results[index % len(have)]
        copy = one.model_copy(update={"instance_id": f"{one.instance_id}-{index}"})
        shutil.copytree(source, instance_folder(folder, copy.instance_id))
        results.append(copy)
    data = json.loads((folder / MANIFEST).read_text())
    return save(folder, results, price=data["price"])
