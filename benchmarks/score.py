"""The one JSON object of `ostro eval`, `grade` and `validate --output json` (schema 1)."""

from __future__ import annotations

from pydantic import JsonValue

from ostro.benchmarks.store import Run
from ostro.benchmarks.summary import Summary

SCHEMA = 1


def score_of(run: Run, summary: Summary) -> dict[str, JsonValue]:
    """Return the score of a run as scripts read it; every instance asked for counts in `total`.

    An instance's `verdict` is how it is counted: `resolved` only where nothing contradicts the log, whose verdict by
    the official rules stands beside it. `endings` are the agent's, where there was one, else how patches are counted.
    `cost_usd` is everything that was spent on results, infrastructure failures included.
    """
    return {
        "schema": SCHEMA,
        "run": str(run.folder),
        "total": summary.instances,
        "resolved": _whole(summary.rate.resolved),
        "rate": summary.rate.share,
        "final": summary.final,
        "interval": [summary.rate.interval.low, summary.rate.interval.high],
        "endings": dict(summary.endings if run.manifest.kind == "eval" else summary.statuses),
        "cost_usd": sum(result.cost_usd for result in run.results),
        "instances": [
            {
                "instance_id": result.instance_id,
                "sample": result.sample,
                "verdict": result.status,
                "official_verdict": result.grade.verdict if result.grade else None,
                "consistency": result.grade.consistency if result.grade else None,
                "applied_by": result.grade.applied_by if result.grade else "",
                "findings": list(result.grade.findings) if result.grade else [],
                "ending": result.ending,
                "infra": result.infra,
                "cost_usd": result.cost_usd,
                "steps": result.steps,
                "seconds": result.seconds,
                "folder": result.folder,
            }
            for result in run.results
        ],
    }


def _whole(number: float) -> float:
    """Return a count as an integer; with several samples it may be a fraction."""
    return int(number) if number.is_integer() else number
