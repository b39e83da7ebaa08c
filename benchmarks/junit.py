"""An evaluation as JUnit XML, which every CI shows: a test case is one sample of an instance. Pure."""

from __future__ import annotations

from ostro.agent.junit import Case, Kind
from ostro.agent.junit import junit as junit_of
from ostro.benchmarks.results import label
from ostro.benchmarks.store import Run

_KINDS: dict[str, Kind] = {
    "resolved": "passed",
    "infra": "error",
    "not_final": "skipped",
    "quarantined": "skipped",
}


def junit(run: Run) -> str:
    """Return junit.xml: a test case for each instance and sample, with its status as the type of the failure."""
    dataset, samples = run.manifest.dataset, run.manifest.samples
    cases = [
        Case(
            dataset,
            result.label(samples),
            result.seconds,
            _KINDS.get(result.status, "failure"),
            "" if result.status == "resolved" else result.status,
            result.remarks or result.status,
        )
        for result in run.results
    ]
    there = {(result.instance_id, result.sample) for result in run.results}
    asked = [(name, sample) for name in run.instance_ids for sample in range(1, samples + 1)]
    missing = [label(*one, samples) for one in asked if one not in there]
    cases += [Case(dataset, name, kind="skipped", message="no result yet") for name in missing]
    return junit_of(run.manifest.run_id, cases)
