"""An evaluation as other programs want it: SWE-bench's report and predictions, Markdown, and JUnit XML.

Each function turns a `Run` into one document; `write_report` writes all of them. benchmarks/junit.py makes that of
JUnit, benchmarks/html_report.py the page for people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import JsonValue

from ostro.benchmarks.junit import junit
from ostro.benchmarks.predictions import Prediction
from ostro.benchmarks.results import InstanceResult
from ostro.benchmarks.statistics import Spread
from ostro.benchmarks.store import (
    INSTANCE_REPORT,
    JUNIT,
    MARKDOWN,
    PATCH,
    PREDICTIONS,
    RESULTS,
    Run,
    write_text,
)
from ostro.benchmarks.summary import Rate, Summary, summarise

OFFICIAL_SCHEMA = 2
"""schema_version of the report that swebench 4.1 and 5.0 write (harness/reporting.py)."""

COMPLETED = ("resolved", "partial", "unresolved", "inconsistent", "suspect")
"""Statuses whose tests ran to a verdict; SWE-bench counts a patch that does not apply and a time-out as errors."""


def write_report(run: Run, summary: Summary) -> list[Path]:
    """Write results.json, report.md, junit.xml and the predictions into the run's folder; return their paths.

    Each instance's folder gets its report.json.

    Raises:
        OSError: one cannot be written.
    """
    documents = {
        RESULTS: json.dumps(results_json(run, summary), ensure_ascii=False, indent=2) + "\n",
        MARKDOWN: markdown(run, summary),
        JUNIT: junit(run),
        PREDICTIONS: predictions(run),
    }
    for sample in range(2, run.manifest.samples + 1):
        documents[f"{Path(PREDICTIONS).stem}@{sample}.jsonl"] = predictions(run, sample)
    for name, text in documents.items():
        write_text(run.folder / name, text)
    for result in run.results:
        text = json.dumps({result.instance_id: official_report(result)}, indent=2) + "\n"
        write_text(run.folder / result.folder / INSTANCE_REPORT, text)
    return [run.folder / name for name in documents]


def official_report(result: InstanceResult) -> dict[str, JsonValue]:
    """Return the report that SWE-bench keeps of one instance; `resolved` is ours: only where nothing contradicts it."""
    grade = result.grade
    applied = grade is not None and bool(grade.applied_by)
    report: dict[str, JsonValue] = {
        "patch_is_None": not result.patch_bytes,
        "patch_exists": result.patch_bytes > 0,
        "patch_successfully_applied": applied,
        "resolved": result.resolved,
        "infra_failure": bool(result.infra),
    }
    if result.infra:
        report["infra_failure_reason"] = result.infra
    if grade is not None and applied:
        lists = {"FAIL_TO_PASS": grade.fail_to_pass, "PASS_TO_PASS": grade.pass_to_pass}
        statuses: dict[str, JsonValue] = {
            name: {"success": [*outcomes.success], "failure": [*outcomes.failure]} for name, outcomes in lists.items()
        }
        for name in ("FAIL_TO_FAIL", "PASS_TO_FAIL"):  # rows with tests of these two kinds are made no more
            statuses[name] = {"success": [], "failure": []}
        report["tests_status"] = statuses
    return report


def results_json(run: Run, summary: Summary | None = None) -> dict[str, JsonValue]:
    """Return results.json: SWE-bench's report of the first sample, with what Ostro knows besides in keys of its own."""
    summary = summary or summarise(run.manifest, run.results)
    official = _official(run, 1)
    own: dict[str, JsonValue] = {
        "ostro_schema_version": 1,
        "run_id": run.manifest.run_id,
        "manifest": run.manifest.model_dump(mode="json"),
        "summary": summary.model_dump(mode="json"),
        "inconsistent_ids": _ids(run, ("inconsistent",)),
        "suspect_ids": _ids(run, ("suspect",)),
        "partial_ids": _ids(run, ("partial",)),
        "quarantined": {result.instance_id: result.flagged for result in run.results if result.flagged},
        "results": [{**result.model_dump(mode="json"), "status": result.status} for result in run.results],
    }
    if run.manifest.samples > 1:
        own["samples"] = [_official(run, sample) for sample in range(1, run.manifest.samples + 1)]
    return {**official, **own}


def predictions(run: Run, sample: int = 1) -> str:
    """Return the patches of one sample as SWE-bench's predictions, one JSON object a line.

    A byte that is not UTF-8 stands as a lone surrogate, escaped, so that nothing of a patch is lost.
    """
    name = run.manifest.model or run.manifest.run_id
    lines = [
        json.dumps(
            Prediction(
                instance_id=result.instance_id,
                model_name_or_path=name,
                model_patch=read_text(run.folder / result.folder / PATCH),
            ).model_dump()
        )
        for result in run.results
        if result.sample == sample and result.status not in ("infra", "not_final")
    ]
    return "".join(f"{line}\n" for line in lines)


def read_text(path: Path) -> str:
    """Return the text of a file, "" where there is none; bytes that are not UTF-8 come as lone surrogates."""
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""


def markdown(run: Run, summary: Summary) -> str:
    """Return report.md: the figures, the endings, and one row for each instance and sample."""
    manifest = run.manifest
    lines = [
        f"# {_cell(manifest.run_id)}",
        "",
        f"{headline(summary)}",
        "",
        *(f"- {line}" for line in facts(run, summary)),
        "",
        *_table(("status", "samples"), summary.statuses.items()),
        "",
        *_table(("ending", "samples"), summary.endings.items()),
        "",
        *_table(("measure", "total", "median", "p95", "largest"), _spreads(summary)),
        "",
        *_table(
            ("instance", "status", "ending", "steps", "tokens", "cost", "seconds", "tests fixed", "remarks"),
            (_row(result, manifest.samples) for result in run.results),
        ),
        "",
    ]
    return "\n".join(lines)


def headline(summary: Summary) -> str:
    """Return the score in a sentence; not as a final one while a result is pending."""
    score = _score(summary.rate)
    if summary.final:
        return f"Resolved {score}."
    infra, missing = summary.statuses.get("infra", 0), summary.statuses.get("not_final", 0)
    pending = [f"{_counted(infra, summary)} failed for reasons of the infrastructure"] if infra else []
    pending += [f"{_counted(missing, summary)} {'has' if missing == 1 else 'have'} no result yet"] if missing else []
    return (
        f"Not final: {', '.join(pending)}. "
        f"Resolved so far {summary.rate.resolved:g} of {summary.rate.instances}; "
        f"the rate will be between {summary.rate.share:.1%} and {summary.at_most.share:.1%}."
    )


def _counted(count: int, summary: Summary) -> str:
    what = "instance" if summary.samples == 1 else "sample"
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def facts(run: Run, summary: Summary) -> Iterable[str]:
    """Yield what else a reader of the score must know, one sentence each."""
    manifest = run.manifest
    if summary.unflagged:
        count = summary.rate.instances - summary.unflagged.instances
        yield f"Without the {count} instances under quarantine: {_score(summary.unflagged)}."
    for k, share in summary.pass_at.items():
        if k > 1:
            yield f"pass@{k} {share:.1%}, pass^{k} {summary.pass_hat[k]:.1%}."
    if summary.cost_per_resolved_usd:
        yield f"${summary.cost_per_resolved_usd:.4f} for each resolved sample, everything included."
    if summary.repairs:
        yield "Repaired calls: " + ", ".join(f"{name} {count}" for name, count in summary.repairs.items()) + "."
    yield f"Dataset {_cell(manifest.dataset)}, sha256 {manifest.dataset_sha256[:16]}."
    if manifest.model:
        at = f" at {_cell(manifest.endpoint)}" if manifest.endpoint else ""
        prompt = f", prompt {manifest.prompt_sha256[:16]}" if manifest.prompt_sha256 else ""
        yield f"Model {_cell(manifest.model)}{at}{prompt}."
    yield f"Ostro {manifest.ostro_version}, sandbox {manifest.sandbox or 'not named'}, started {manifest.started}."


def _official(run: Run, sample: int) -> dict[str, JsonValue]:
    """Return the keys of SWE-bench's report, with its meanings."""
    results = [result for result in run.results if result.sample == sample]
    graded = [result.instance_id for result in results if result.flagged and result.grade is not None]
    have = {*graded, *(result.instance_id for result in results if result.status not in ("not_final", "quarantined"))}
    lists: dict[str, list[str]] = {
        "completed": [*_named(results, COMPLETED), *graded],
        "incomplete": [*(set(run.instance_ids) - have)],
        "empty_patch": _named(results, ("empty_patch",)),
        "submitted": [*have],
        "resolved": _named(results, ("resolved",)),
        "unresolved": [*_named(results, COMPLETED[1:]), *graded],
        "infra_failure": _named(results, ("infra",)),
        "ambiguous_failure": [],
        "error": _named(results, ("patch_failed", "test_timeout", "infra")),
    }
    report: dict[str, JsonValue] = {"total_instances": run.manifest.instances}
    report |= {f"{name}_instances": len(ids) for name, ids in lists.items() if name != "incomplete"}
    report |= {f"{name}_ids": [*sorted(ids)] for name, ids in lists.items()}
    report["failure_reasons"] = {result.instance_id: result.infra for result in results if result.status == "infra"}
    report["schema_version"] = OFFICIAL_SCHEMA
    return report


def _named(results: Sequence[InstanceResult], statuses: Sequence[str]) -> list[str]:
    return [result.instance_id for result in results if result.status in statuses]


def _ids(run: Run, statuses: Sequence[str]) -> list[JsonValue]:
    return [*dict.fromkeys(_named(run.results, statuses))]


def _score(rate: Rate) -> str:
    low, high = rate.interval.low, rate.interval.high
    return f"{rate.resolved:g} of {rate.instances} ({rate.share:.1%}, 95 % interval {low:.1%} to {high:.1%})"


def _spreads(summary: Summary) -> Iterable[tuple[str, ...]]:
    measures = (
        ("cost, $", summary.cost_usd, 4),
        ("tokens", summary.tokens, 0),
        ("steps", summary.steps, 0),
        ("seconds", summary.seconds, 1),
    )
    for name, spread, digits in measures:
        yield (name, *(f"{value:,.{digits}f}" for value in _figures(spread)))


def _figures(spread: Spread) -> tuple[float, ...]:
    return spread.total, spread.median, spread.p95, spread.largest


def _row(result: InstanceResult, samples: int) -> tuple[str, ...]:
    fixed = ""
    if result.grade is not None:
        passed, failed = result.grade.fail_to_pass.success, result.grade.fail_to_pass.failure
        fixed = f"{len(passed)} of {len(passed) + len(failed)}"
    tokens = result.tokens.input + result.tokens.output
    return (
        result.label(samples),
        result.status,
        result.ending,
        str(result.steps),
        f"{tokens:,}",
        f"${result.cost_usd:.4f}",
        f"{result.seconds:.1f}",
        fixed,
        result.remarks,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(_cell(str(value)) for value in row)} |"


def _cell(text: str) -> str:
    """Return untrusted text so that it stays within its cell and is no markup."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", flat)
