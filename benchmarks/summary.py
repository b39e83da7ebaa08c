"""The totals of an evaluation: who is counted how, the rate with its interval, and what it took.

The denominator is every instance that was asked for. Infrastructure failures and results that are missing stand apart;
while there is one, the rate is not final and its bounds are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from ostro.benchmarks.results import InstanceResult, RunManifest, Status
from ostro.benchmarks.statistics import Interval, Spread, pass_at_k, pass_hat_k, spread, wilson

PENDING: tuple[Status, ...] = ("infra", "not_final")
"""Results that say nothing of the agent yet."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rate(_Frozen):
    """A resolved rate: the mean over instances of the share of samples that resolved (pass@1).

    Attributes:
        resolved: the sum of those shares; the number of resolved instances where each has one sample.
        interval: Wilson's, 95 %.
    """

    resolved: float
    instances: int
    share: float
    interval: Interval


class Summary(_Frozen):
    """Everything that stands at the head of a report.

    Attributes:
        final: no result is missing and none is an infrastructure failure.
        rate: of all instances asked for, what is pending taken as unresolved.
        at_most: the same with everything that is pending taken as resolved.
        unflagged: without the instances that `validate` put under quarantine; None where there is none.
        pass_at: k to pass@k, over all instances asked for; only where there are several samples.
        statuses: number of samples by status; all of them, `not_final` for those without a result.
        cost_usd: by sample, as are tokens, steps and seconds; results that are pending are not among them.
        spent_usd: by all results, infrastructure failures included.
        cost_per_resolved_usd: that, by resolved samples; None where nothing was resolved.
    """

    instances: int
    samples: int
    final: bool
    rate: Rate
    at_most: Rate
    unflagged: Rate | None
    pass_at: dict[int, float]
    pass_hat: dict[int, float]
    statuses: dict[str, int]
    endings: dict[str, int]
    repairs: dict[str, int]
    cost_usd: Spread
    spent_usd: float
    cost_per_resolved_usd: float | None
    tokens: Spread
    tokens_input: int
    tokens_cached: int
    tokens_output: int
    steps: Spread
    seconds: Spread


def summarise(manifest: RunManifest, results: Sequence[InstanceResult]) -> Summary:
    """Add up the results of one evaluation."""
    asked = manifest.instances * manifest.samples
    statuses = Counter[str](result.status for result in results)
    statuses["not_final"] += max(asked - len(results), 0)
    done = [result for result in results if result.status not in PENDING]
    resolved = shares(results, manifest.samples)
    flagged = {result.instance_id for result in results if result.flagged}
    pending = sum(statuses[status] for status in PENDING) / manifest.samples
    return Summary(
        instances=manifest.instances,
        samples=manifest.samples,
        final=pending == 0,
        rate=rate(sum(resolved.values()), manifest.instances),
        at_most=rate(min(sum(resolved.values()) + pending, manifest.instances), manifest.instances),
        unflagged=_without(flagged, resolved, manifest.instances) if flagged else None,
        pass_at=_estimates(pass_at_k, results, manifest),
        pass_hat=_estimates(pass_hat_k, results, manifest),
        statuses=_ordered(statuses),
        endings=_ordered(Counter(result.ending for result in done)),
        repairs=_ordered(sum((Counter(result.repairs) for result in results), Counter[str]())),
        cost_usd=spread([result.cost_usd for result in done]),
        spent_usd=sum(result.cost_usd for result in results),
        cost_per_resolved_usd=_cost_per_resolved(results),
        tokens=spread([float(result.tokens.input + result.tokens.output) for result in done]),
        tokens_input=sum(result.tokens.input for result in results),
        tokens_cached=sum(result.tokens.cached for result in results),
        tokens_output=sum(result.tokens.output for result in results),
        steps=spread([float(result.steps) for result in done]),
        seconds=spread([result.seconds for result in done]),
    )


def shares(results: Iterable[InstanceResult], samples: int) -> dict[str, float]:
    """Return for each instance the share of its samples that resolved; samples that are missing did not."""
    counts = Counter[str]()
    for result in results:
        counts[result.instance_id] += result.resolved
    return {instance_id: count / samples for instance_id, count in counts.items()}


def rate(resolved: float, instances: int) -> Rate:
    """Return the rate of so many of so many."""
    share = resolved / instances if instances else 0.0
    return Rate(resolved=resolved, instances=instances, share=share, interval=wilson(resolved, instances))


def _without(flagged: Collection[str], resolved: Mapping[str, float], instances: int) -> Rate:
    left = sum(share for instance_id, share in resolved.items() if instance_id not in flagged)
    return rate(left, instances - len(flagged))


def _estimates(
    estimate: Callable[[int, int, int], float], results: Sequence[InstanceResult], manifest: RunManifest
) -> dict[int, float]:
    if manifest.samples == 1 or not manifest.instances:
        return {}
    counts = Counter[str](result.instance_id for result in results if result.resolved)
    return {  # an instance of which no sample resolved adds nothing
        k: sum(estimate(manifest.samples, count, k) for count in counts.values()) / manifest.instances
        for k in range(1, manifest.samples + 1)
    }


def _cost_per_resolved(results: Sequence[InstanceResult]) -> float | None:
    count = sum(result.resolved for result in results)
    return sum(result.cost_usd for result in results) / count if count else None


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count}
