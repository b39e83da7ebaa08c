"""What a score means: intervals, tests and estimators over counts, as pure functions.

benchmarks/summary.py and benchmarks/compare.py feed them; each names the source of its method. The normal quantile is
the standard library's, everything else is counting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import takewhile
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
"""The chance to see a difference that is there, by convention (Cohen 1988)."""


class Interval(BaseModel):
    """A two-sided interval; both ends belong to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float


class Spread(BaseModel):
    """How the values of one measure lie; all zero where there is none.

    Attributes:
        count: how many values there are.
        p95: 95th percentile, interpolated as `quantile` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = 0
    total: float = 0.0
    mean: float = 0.0
    median: float = 0.0
    p95: float = 0.0
    largest: float = 0.0


def wilson(successes: float, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson 1927; method 3 of Newcombe 1998, Stat. Med. 17:857).

    `successes` may be a fraction: the sum over instances of the share of samples that succeeded. Samples of one
    instance are not independent, so `total` is the number of instances; the interval is then wider than need be.

    Raises:
        ValueError: fewer successes than 0 or more than `total`.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total}")
    if total == 0:
        return Interval(low=0.0, high=1.0)
    z = _z(confidence)
    share = successes / total
    center = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if successes == 0 else max((center - reach) / scale, 0.0)
    high = 1.0 if successes == total else min((center + reach) / scale, 1.0)
    return Interval(low=low, high=high)


def pass_at_k(samples: int, resolved: int, k: int) -> float:
    """Return the chance that at least one of `k` samples resolves, unbiased (Chen et al. 2021, arXiv 2107.03374).

    Raises:
        ValueError: `k` is not between 1 and `samples`, or `resolved` not between 0 and `samples`.
    """
    _check(samples, resolved, k)
    return 1 - math.comb(samples - resolved, k) / math.comb(samples, k)


def pass_hat_k(samples: int, resolved: int, k: int) -> float:
    """Return pass^k, the chance that all of `k` samples resolve, unbiased (Yao et al. 2024, arXiv 2406.12045).

    Raises:
        ValueError: as `pass_at_k`.
    """
    _check(samples, resolved, k)
    return math.comb(resolved, k) / math.comb(samples, k)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided p of McNemar's exact test: a fair coin for each instance on which two runs differ.

    Twice the smaller binomial tail, at most 1 (the "exact conditional test" of Fagerland, Lydersen and Laake 2013).
    """
    flips = gained + lost
    *_, (_, value) = _exact_values(flips, min(gained, lost))
    return value


def paired_difference(gained: float, lost: float, pairs: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the difference of two paired proportions, second minus first.

    The adjusted Wald interval of Bonett and Price (2012), which Fagerland, Lydersen and Laake (2013, BMC Med. Res.
    Methodol. 13:91) recommend for any sample size. Where an instance has several samples, `gained` and `lost` are sums
    of differences of shares; the interval is then wider than need be.
    """
    total = pairs + 2
    up, down = (gained + 1) / total, (lost + 1) / total
    center = up - down
    reach = _z(confidence) * math.sqrt((up + down - center * center) / total)
    return Interval(low=max(center - reach, -1.0), high=min(center + reach, 1.0))


def smallest_significant(flips: int, alpha: float = ALPHA) -> int | None:
    """Return the smallest net gain, in instances, that McNemar's exact test calls significant at so many flips.

    None: no split of that few flips is; at the usual 5 % it takes six, all in one direction.
    """
    significant = takewhile(lambda found: found[1] <= alpha, _exact_values(flips, flips // 2))
    lost = max((lost for lost, _ in significant), default=None)
    return None if lost is None else flips - 2 * lost


def smallest_detectable(flips: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Return the smallest true net gain, in instances, that a repetition with so many flips would show.

    "Show" is a significant exact test with at least the chance `power`. Conditional on the flips: each goes the better
    way with a chance q, and the answer is `flips * (2q - 1)` for the smallest q that suffices, found by bisection.

    None: no gain would, see `smallest_significant`.
    """
    net = smallest_significant(flips, alpha)
    if net is None:
        return None
    needed = (flips + net) // 2
    low, high = 0.5, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _upper_tail(flips, needed, middle) < power:
            low = middle
        else:
            high = middle
    return flips * (2 * high - 1)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie, linear between neighbours (type 7 of Hyndman and Fan 1996).

    Raises:
        ValueError: there is no value, or `share` is not between 0 and 1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no quantile {share} of {len(values)} values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> Spread:
    """Return how `values` lie."""
    if not values:
        return Spread()
    total = math.fsum(values)
    return Spread(
        count=len(values),
        total=total,
        mean=total / len(values),
        median=quantile(values, 0.5),
        p95=quantile(values, 0.95),
        largest=max(values),
    )


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check(samples: int, resolved: int, k: int) -> None:
    if not 1 <= k <= samples or not 0 <= resolved <= samples:
        raise ValueError(f"{resolved} of {samples} samples resolved, k = {k}")


def _exact_values(flips: int, most: int) -> Iterator[tuple[int, float]]:
    """Yield McNemar's exact two-sided value for 0, 1 ... `most` flips the rarer way; it grows."""
    ways, tail = 1, 0
    for lost in range(most + 1):
        tail += ways
        yield lost, min(1.0, 2 * tail / 2**flips)
        ways = ways * (flips - lost) // (lost + 1)


def _upper_tail(trials: int, at_least: int, chance: float) -> float:
    """Return the chance of at least so many successes; by logarithms, as the counts of choices outgrow a float."""
    if chance >= 1:
        return 1.0
    win, lose = math.log(chance), math.log1p(-chance)
    whole = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(
            whole - math.lgamma(count + 1) - math.lgamma(trials - count + 1) + count * win + (trials - count) * lose
        )
        for count in range(at_least, trials + 1)
    )
