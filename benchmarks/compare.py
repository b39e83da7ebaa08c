"""Two evaluations side by side: what differs in what they ran, and whether the results differ by more than chance.

Paired by instance: only those that both runs have a final result of are compared, the others are listed. Where a run
has several samples, an instance flips when the share of its samples that resolved differs; the test is then the exact
sign test, which McNemar's exact test is for one sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from ostro.agent.errors import UsageError
from ostro.benchmarks.results import InstanceResult, RunManifest
from ostro.benchmarks.statistics import (
    ALPHA,
    Interval,
    mcnemar_exact,
    paired_difference,
    quantile,
    smallest_detectable,
    smallest_significant,
)
from ostro.benchmarks.store import Run
from ostro.benchmarks.summary import PENDING, Rate, rate

SUBJECTS = ("kind", "model", "endpoint", "sampling", "prompt_sha256", "tools_sha256", "ostro_version", "config")
"""What one compares on purpose; more than one of them at once leaves open which made the difference."""

CONDITIONS = ("dataset_sha256", "samples", "price", "sandbox", "images", "seed", "host")
"""What should be equal whatever is compared."""

TOGETHER = frozenset({"model", "endpoint", "sampling"})
"""Subjects that change together with a model; they count as one."""

RERUN_SPREAD = 0.06
"""How far two runs of one and the same agent were seen apart, 2.2 to 6.0 points at temperature 0 (arXiv 2602.07150)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Frozen):
    """One key of the manifests that is not the same.

    Attributes:
        role: `subject` may be what is compared, a `condition` should be equal.
    """

    key: str
    first: JsonValue
    second: JsonValue
    role: Literal["subject", "condition"]


class Flip(_Frozen):
    """An instance on which the runs differ: the share of its samples that resolved, in each."""

    instance_id: str
    first: float
    second: float
    first_status: str
    second_status: str


class LeftOut(_Frozen):
    """An instance that could not be paired."""

    instance_id: str
    reason: str


class Measure(_Frozen):
    """One measure over the paired instances, mean over the samples of each.

    Attributes:
        median_change: median over instances of second minus first.
    """

    name: str
    first_total: float
    second_total: float
    first_median: float
    second_median: float
    median_change: float


class Comparison(_Frozen):
    """What `compare` prints.

    Attributes:
        gained: instances that the second run does better on.
        difference: second rate minus first, over the pairs; with its 95 % interval.
        p_value: of McNemar's exact test, two-sided.
        smallest_significant: net gain in instances that would be significant at so many flips; None where none is.
        smallest_detectable: true net gain that a repetition would show four times in five; None where none is.
    """

    schema_version: Literal[1] = 1
    first: str
    second: str
    pairs: int
    first_rate: Rate
    second_rate: Rate
    difference: float
    interval: Interval
    p_value: float
    gained: tuple[Flip, ...]
    lost: tuple[Flip, ...]
    smallest_significant: int | None
    smallest_detectable: float | None
    measures: tuple[Measure, ...]
    left_out: tuple[LeftOut, ...]
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    verdict: str


def compare(first: Run, second: Run, *, across_datasets: bool = False) -> Comparison:
    """Compare two evaluations, instance by instance.

    Raises:
        UsageError: they ran other rows and that was not asked for, or have no instance in common.
    """
    differences = tuple(manifest_differences(first.manifest, second.manifest))
    if first.manifest.dataset_sha256 != second.manifest.dataset_sha256 and not across_datasets:
        raise UsageError(
            f"{first.folder} ran {first.manifest.dataset} and {second.folder} {second.manifest.dataset}: "
            "the rows differ",
            mend="Compare runs over the same rows, or give --across-datasets to compare the ids that both have.",
        )
    left, right = _by_instance(first.results), _by_instance(second.results)
    pairs, left_out = _pair(
        left,
        right,
        sorted({*first.instance_ids, *second.instance_ids}),
        (first.manifest.samples, second.manifest.samples),
    )
    if not pairs:
        raise UsageError(
            f"{first.folder} and {second.folder} have no instance in common that both have a final result of",
            mend="Finish both runs, or compare runs over the same rows.",
        )
    flips = [_flip(name, left[name], right[name]) for name in pairs]
    gained = tuple(flip for flip in flips if flip.second > flip.first)
    lost = tuple(flip for flip in flips if flip.second < flip.first)
    count = len(gained) + len(lost)
    up, down = (sum(abs(flip.second - flip.first) for flip in side) for side in (gained, lost))
    told = Comparison(
        first=str(first.folder),
        second=str(second.folder),
        pairs=len(pairs),
        first_rate=rate(sum(flip.first for flip in flips), len(pairs)),
        second_rate=rate(sum(flip.second for flip in flips), len(pairs)),
        difference=(up - down) / len(pairs),
        interval=paired_difference(up, down, len(pairs)),
        p_value=mcnemar_exact(len(gained), len(lost)),
        gained=gained,
        lost=lost,
        smallest_significant=smallest_significant(count),
        smallest_detectable=smallest_detectable(count),
        measures=tuple(_measures([left[name] for name in pairs], [right[name] for name in pairs])),
        left_out=left_out,
        differences=differences,
        warnings=tuple(_warnings(differences, left_out)),
        verdict="",
    )
    return told.model_copy(update={"verdict": verdict(told)})


def manifest_differences(first: RunManifest, second: RunManifest) -> Iterable[Difference]:
    """Yield the keys in which what ran is not the same; of images, those that both runs name."""
    one, other = first.model_dump(mode="json"), second.model_dump(mode="json")
    for manifest, images in ((one, second.images), (other, first.images)):
        manifest["images"] = {name: digest for name, digest in manifest["images"].items() if name in images}
    for key in (*SUBJECTS, *CONDITIONS):
        if one[key] != other[key]:
            role: Literal["subject", "condition"] = "subject" if key in SUBJECTS else "condition"
            yield Difference(key=key, first=one[key], second=other[key], role=role)


def verdict(told: Comparison) -> str:
    """Say in one or two sentences what the comparison shows, and what it could have shown."""
    points = f"{told.difference * 100:+.1f} points"
    flips = len(told.gained) + len(told.lost)
    if told.smallest_significant is None:
        return f"No difference could be shown: {flips} instances flip, and fewer than six are never significant."
    if told.p_value > ALPHA:
        return (
            f"No difference is shown ({points}, p = {told.p_value:.3g}): with {flips} flips a net gain of "
            f"{told.smallest_significant} instances would be needed, and only a true gain of "
            f"{told.smallest_detectable:.0f} or more would be shown four times in five."
        )
    more = len(told.gained) - len(told.lost)
    if told.difference * more <= 0:  # possible with several samples: many small changes one way, few large ones back
        return f"No difference is shown: most instances change one way (p = {told.p_value:.3g}), the rate is {points}."
    better = "second" if more > 0 else "first"
    text = f"The {better} run is better: {points}, p = {told.p_value:.3g}."
    if abs(told.difference) < RERUN_SPREAD:
        text += " Runs of one and the same agent were seen up to 6 points apart; repeat both before relying on it."
    return text


Samples = Sequence[InstanceResult]


def _by_instance(results: Samples) -> dict[str, list[InstanceResult]]:
    found: dict[str, list[InstanceResult]] = {}
    for result in results:
        found.setdefault(result.instance_id, []).append(result)
    return found


def _pair(
    left: dict[str, list[InstanceResult]],
    right: dict[str, list[InstanceResult]],
    names: Sequence[str],
    asked: tuple[int, int],
) -> tuple[list[str], tuple[LeftOut, ...]]:
    """Split the instances into those that can be compared and the others with the reason.

    `asked` says how many samples of each instance the two runs are to have.
    """
    pairs: list[str] = []
    left_out: list[LeftOut] = []
    for name in names:
        reasons = [
            f"{side}: {why}"
            for side, found, count in (("first", left, asked[0]), ("second", right, asked[1]))
            if (why := _unfit(found.get(name, []), count))
        ]
        if reasons:
            left_out.append(LeftOut(instance_id=name, reason="; ".join(reasons)))
        else:
            pairs.append(name)
    return pairs, tuple(left_out)


def _unfit(samples: Samples, asked: int) -> str:
    if not samples:
        return "no result"
    if len(samples) < asked:
        return f"{len(samples)} of {asked} samples have a result"
    bad = [sample for sample in samples if sample.status in (*PENDING, "quarantined")]
    if not bad:
        return ""
    status = bad[0].status.replace("_", " ")
    why = bad[0].flagged or bad[0].infra
    return f"{status} ({why})" if why else status


def _flip(name: str, left: Samples, right: Samples) -> Flip:
    return Flip(
        instance_id=name,
        first=_share(left),
        second=_share(right),
        first_status=_statuses(left),
        second_status=_statuses(right),
    )


def _share(samples: Samples) -> float:
    return sum(sample.resolved for sample in samples) / len(samples)


def _statuses(samples: Samples) -> str:
    return ", ".join(dict.fromkeys(sample.status for sample in samples))


def _measures(left: Sequence[Samples], right: Sequence[Samples]) -> Iterable[Measure]:
    for name in ("cost_usd", "tokens", "steps", "seconds"):
        one, other = [_mean(samples, name) for samples in left], [_mean(samples, name) for samples in right]
        yield Measure(
            name=name,
            first_total=sum(one),
            second_total=sum(other),
            first_median=quantile(one, 0.5),
            second_median=quantile(other, 0.5),
            median_change=quantile([b - a for a, b in zip(one, other, strict=True)], 0.5),
        )


def _mean(samples: Samples, name: str) -> float:
    values = [
        sample.tokens.input + sample.tokens.output if name == "tokens" else float(getattr(sample, name))
        for sample in samples
    ]
    return sum(values) / len(values)


def _warnings(differences: Sequence[Difference], left_out: Sequence[LeftOut]) -> Iterable[str]:
    conditions = [one.key for one in differences if one.role == "condition"]
    subjects = {one.key for one in differences if one.role == "subject"}
    if "dataset_sha256" in conditions:
        yield "The runs are over different rows; an id may stand for another task in each."
    if "price" in conditions and "model" not in subjects:
        yield "The prices differ though the model does not: the costs are not comparable."
    others = [key for key in conditions if key not in ("dataset_sha256", "price")]
    if others:
        yield f"The conditions differ: {', '.join(others)}."
    kinds = {"model" if key in TOGETHER else key for key in subjects}
    if len(kinds) > 1:
        yield f"More than one thing is compared at once: {', '.join(sorted(subjects))}."
    if left_out:
        many = "1 instance is" if len(left_out) == 1 else f"{len(left_out)} instances are"
        yield f"{many} left out for want of a final result in one of the runs."
