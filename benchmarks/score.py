"""The one JSON object of `ostro eval`, `grade` and `validate --output json` (schema 1)."""

from __future__ import annotations

from pydantic import JsonValue

from ostro.benchmarks.store import Run
from ostro.benchmarks.summary import Summary

SCHEMA = 1


def score_of(run: Run, summary: Summary) -> dict[str, JsonValue]:
    """Return the score of a run as scripts read it; every instance asked for counts in `total`."""
    return {
        "schema": SCHEMA,
        "run": str(run.folder),
        "total": summary.instances,
        "resolved": summary.rate.resolved,
        "rate": summary.rate.share,
        "final": summary.final,
        "interval": [summary.rate.interval.low, summary.rate.interval.high],
        "endings": dict(summary.endings),
        "cost_usd": summary.cost_usd.total,
        "instances": [
            {
                "instance_id": result.instance_id,
                "sample": result.sample,
                "verdict": result.status,
                "ending": result.ending,
                "infra": result.infra,
                "cost_usd": result.cost_usd,
                "steps": result.steps,
                "folder": result.folder,
            }
            for result in run.results
        ],
    }
