"""The page for people: an evaluation, or a single run, as one HTML file (benchmarks/html_page.py makes the file).

Overview with plots and a table, and for each instance its verdict, tests, patch beside gold, timings and every step.
Long texts are cut until the page is small enough; the page says where the whole lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Ended, Planned, RunStarted
from ostro.agent.record.trajectory import TrajectoryError, read_events
from ostro.benchmarks.html_events import Texts, trajectory
from ostro.benchmarks.html_page import packed, render
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.report import facts, headline, read_text
from ostro.benchmarks.results import InstanceResult
from ostro.benchmarks.store import DATASET, HTML, PATCH, TEST_LOG, Run, logs_of, write_text
from ostro.benchmarks.summary import Summary, summarise

CUTS = (20_000, 8_000, 3_000, 1_200, 500, 200)
"""Characters of one text that are kept, tried from the first until the page fits."""

PATCH_SHARE = 4
"""How many times longer than another text a patch may be."""

PAGE_BYTES = 1_800_000
INSTANCE_BYTES = 18_000
"""The page may hold so much, or so much for each instance where that is more; style and script are 60 kB besides."""


@dataclass(frozen=True)
class Shown:
    """One instance and sample as the page needs it, before anything is cut.

    Attributes:
        row: its line of the table.
        grade: what grading found; None where nothing was graded.
        gold: the project's own patch; "" where it is not known.
        folder: where its files lie, as the page names it.
    """

    row: Mapping[str, JsonValue]
    logs: Sequence[Path]
    folder: str
    issue: str = ""
    patch: str = ""
    gold: str = ""
    test_log: str = ""
    grade: JsonValue = None


def write_page(run: Run, summary: Summary | None = None) -> Path:
    """Write report.html into the run's folder.

    Raises:
        OSError: it cannot be written.
    """
    path = run.folder / HTML
    write_text(path, evaluation_page(run, summary or summarise(run.manifest, run.results)))
    return path


def evaluation_page(run: Run, summary: Summary) -> str:
    """Return the page of an evaluation."""
    dataset = run.folder / DATASET
    rows = {row.instance_id: row for row in read_instances(dataset)} if dataset.is_file() else {}
    overview: dict[str, JsonValue] = {
        "title": run.manifest.run_id,
        "single": False,
        "headline": headline(summary),
        "facts": [*facts(run, summary)],
        "summary": summary.model_dump(mode="json"),
        "manifest": run.manifest.model_dump(mode="json", exclude={"instance_ids"}),
        "missing": [*sorted(set(run.instance_ids) - {result.instance_id for result in run.results})],
    }
    shown = [_instance(run, result, rows.get(result.instance_id)) for result in run.results]
    return _page(run.manifest.run_id, overview, shown)


def run_page(folder: Path, logs: Sequence[Path], report: RunReport | None) -> str:
    """Return the page of a single run; `report` is None where the run works still or was killed."""
    row = _row_of_logs(folder.name, logs)
    patch = read_text(folder / PATCH)
    if report is not None:
        tokens = report.tokens.input + report.tokens.output
        row |= {"ending": report.outcome.value, "steps": report.steps, "tokens": tokens}
        row |= {"cost": report.cost_usd, "seconds": report.seconds}
        patch = patch or (read_text(Path(report.patch)) if report.patch else "")
    overview: dict[str, JsonValue] = {"title": folder.name, "single": True}
    return _page(folder.name, overview, [Shown(row=row, logs=logs, folder=folder.name, patch=patch)])


def _page(title: str, overview: dict[str, JsonValue], shown: Sequence[Shown]) -> str:
    budget = max(PAGE_BYTES, INSTANCE_BYTES * len(shown))
    texts, chunks = _cut(shown, CUTS[0])
    for limit in CUTS[1:]:
        if sum(map(len, chunks)) <= budget:
            break
        texts, chunks = _cut(shown, limit)
    overview |= {"rows": [dict(one.row) for one in shown], "shared": [*texts.shared], "cut": texts.limit}
    return render(f"Ostro: {title}", overview, chunks)


def _cut(shown: Sequence[Shown], limit: int) -> tuple[Texts, list[str]]:
    texts = Texts(limit)
    return texts, [packed(_detail(one, texts)) for one in shown]


def _detail(one: Shown, texts: Texts) -> JsonValue:
    wide = Texts(texts.limit * PATCH_SHARE)
    return {
        "folder": one.folder,
        "issue": texts.cut(one.issue),
        "patch": wide.cut(one.patch),
        "gold": wide.cut(one.gold),
        "test_log": texts.cut(one.test_log),
        "grade": one.grade,
        "logs": [trajectory(log, texts) for log in one.logs],
    }


def _instance(run: Run, result: InstanceResult, row: Instance | None) -> Shown:
    folder = run.folder / result.folder
    return Shown(
        row=_row(result, run.manifest.samples),
        logs=logs_of(folder),
        folder=result.folder,
        issue=row.problem_statement if row else "",
        patch=read_text(folder / PATCH),
        gold=row.patch if row else "",
        test_log=read_text(folder / TEST_LOG),
        grade=result.grade.model_dump(mode="json") if result.grade else None,
    )


def _row(result: InstanceResult, samples: int) -> dict[str, JsonValue]:
    grade = result.grade
    fixed = len(grade.fail_to_pass.success) if grade else 0
    broken = len(grade.pass_to_pass.failure) if grade else 0
    return {
        "id": result.instance_id if samples == 1 else f"{result.instance_id}@{result.sample}",
        "status": result.status,
        "ending": result.ending,
        "fixed": fixed,
        "to_fix": fixed + len(grade.fail_to_pass.failure) if grade else 0,
        "broken": broken,
        "steps": result.steps,
        "tokens": result.tokens.input + result.tokens.output,
        "cost": result.cost_usd,
        "seconds": result.seconds,
        "patch_bytes": result.patch_bytes,
        "tries": result.tries,
        "remark": result.flagged or result.infra,
    }


def _row_of_logs(name: str, logs: Sequence[Path]) -> dict[str, JsonValue]:
    """Return what the logs themselves say of a run, for one that left no report."""
    ending, title, steps, tokens, cost, seconds = "unfinished", "", 0, 0, 0.0, 0.0
    for log in logs:
        try:
            for event in read_events(log):
                match event:
                    case RunStarted():
                        title = str(event.task.get("title", ""))
                    case Planned():
                        steps += 1
                        tokens += event.usage.input_tokens + event.usage.output_tokens
                        cost += event.cost_usd
                    case Ended():
                        ending = event.outcome.ending.value
                    case _:
                        pass
                seconds = max(seconds, event.mono)
        except TrajectoryError:
            continue  # the page shows what the damage is
    figures: dict[str, JsonValue] = {"steps": steps, "tokens": tokens, "cost": cost, "seconds": seconds}
    return {"id": name, "title": title, "status": "", "ending": ending, "patch_bytes": 0, "remark": "", **figures}
