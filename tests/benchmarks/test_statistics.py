"""Each function against published values, a brute-force definition, or a property that must hold for every input."""

from __future__ import annotations

import math
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.benchmarks.statistics import (
    mcnemar_exact,
    paired_difference,
    pass_at_k,
    pass_hat_k,
    quantile,
    smallest_detectable,
    smallest_significant,
    spread,
    wilson,
)

COUNTS = st.integers(0, 60)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3 (score, no continuity correction)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_newcombes_examples_gives_the_published_limits(
    successes: int, total: int, low: float, high: float
) -> None:
    interval = wilson(successes, total)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 2000), st.data())
def test_wilson_of_any_count_holds_the_share_and_mirrors(total: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, total))
    interval, mirrored = wilson(successes, total), wilson(total - successes, total)
    assert 0 <= interval.low <= successes / total <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    wider = wilson(successes, total, confidence=0.99)
    assert wider.low <= interval.low <= interval.high <= wider.high


def test_wilson_without_any_instance_says_nothing() -> None:
    assert wilson(0, 0).model_dump() == {"low": 0.0, "high": 1.0}


def test_wilson_of_more_successes_than_instances_is_refused() -> None:
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


@given(st.integers(1, 9), st.data())
def test_pass_at_k_of_few_samples_equals_the_count_over_all_choices(samples: int, data: st.DataObject) -> None:
    resolved, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    outcomes = [index < resolved for index in range(samples)]
    choices = list(combinations(outcomes, k))
    assert pass_at_k(samples, resolved, k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert pass_hat_k(samples, resolved, k) == pytest.approx(sum(map(all, choices)) / len(choices))


@pytest.mark.parametrize(("samples", "resolved", "k"), [(3, 1, 0), (3, 1, 4), (3, 4, 1), (3, -1, 1)])
def test_pass_at_k_of_impossible_counts_is_refused(samples: int, resolved: int, k: int) -> None:
    for function in (pass_at_k, pass_hat_k):
        with pytest.raises(ValueError, match="samples resolved"):
            function(samples, resolved, k)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (1, 7, 0.0703),  # Fagerland, Lydersen, Laake 2013: airway reactivity after transplantation, exact conditional
        (0, 6, 0.03125),  # the fewest flips that are significant: 2 / 2**6
        (5, 5, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_of_known_tables_gives_their_p(gained: int, lost: int, p: float) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(p, abs=5e-5)
    assert mcnemar_exact(lost, gained) == mcnemar_exact(gained, lost)


@given(st.integers(0, 5), st.integers(0, 5))
def test_mcnemar_of_few_flips_equals_the_count_over_all_coin_throws(gained: int, lost: int) -> None:
    flips, far = gained + lost, abs(gained - lost)
    throws = [abs(2 * sum(coins) - flips) for coins in product((0, 1), repeat=flips)]
    assert mcnemar_exact(gained, lost) == pytest.approx(sum(throw >= far for throw in throws) / len(throws))


def test_paired_difference_of_fagerlands_example_gives_the_published_limits() -> None:
    # Fagerland, Lydersen, Laake 2013, BMC Med. Res. Methodol. 13:91: 1, 1, 7, 12 of 21; Bonett-Price -0.508 to -0.013
    interval = paired_difference(gained=1, lost=7, pairs=21)
    assert (round(interval.low, 3), round(interval.high, 3)) == (-0.508, -0.013)


@given(COUNTS, COUNTS, COUNTS)
def test_paired_difference_of_any_table_mirrors_and_stays_possible(gained: int, lost: int, same: int) -> None:
    pairs = gained + lost + same
    there, back = paired_difference(gained, lost, pairs), paired_difference(lost, gained, pairs)
    assert -1 <= there.low < there.high <= 1
    assert there.low == pytest.approx(-back.high)
    assert there.high == pytest.approx(-back.low)


@pytest.mark.parametrize(("flips", "net"), [(70, 18), (42, 14), (7, 7), (6, 6), (5, None), (0, None)])
def test_smallest_significant_of_known_flips_is_the_net_gain_of_the_table(flips: int, net: int | None) -> None:
    # 14 % of 500, 300 and 50 instances; each row can be checked with any binomial table
    assert smallest_significant(flips) == net


@given(st.integers(6, 200))
def test_smallest_significant_of_any_flips_is_the_first_that_passes_the_test(flips: int) -> None:
    net = smallest_significant(flips)
    assert net is not None
    assert mcnemar_exact((flips + net) // 2, (flips - net) // 2) <= 0.05
    if net >= 2:
        assert mcnemar_exact((flips + net) // 2 - 1, (flips - net) // 2 + 1) > 0.05


@given(st.integers(6, 200))
def test_smallest_detectable_of_any_flips_is_shown_four_times_of_five(flips: int) -> None:
    net, gain = smallest_significant(flips), smallest_detectable(flips)
    assert net is not None
    assert gain is not None
    assert gain <= flips
    better = (gain / flips + 1) / 2
    shown = sum(
        math.comb(flips, wins) * better**wins * (1 - better) ** (flips - wins)
        for wins in range(flips + 1)
        if 2 * wins - flips >= net
    )
    assert shown == pytest.approx(0.8, abs=1e-6)


def test_smallest_detectable_of_too_few_flips_is_none() -> None:
    assert smallest_detectable(5) is None


def test_every_test_of_thousands_of_flips_stays_within_a_float() -> None:
    # for so many, the normal approximation holds: (1.96 + 0.84) * sqrt(flips)
    assert smallest_detectable(4000) == pytest.approx(2.80 * math.sqrt(4000), rel=0.02)
    assert 0 < mcnemar_exact(2100, 1900) < 0.01


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.95, 3.85), (1.0, 4.0)])
def test_quantile_of_one_to_four_is_that_of_type_seven(share: float, value: float) -> None:
    assert quantile([4, 1, 3, 2], share) == pytest.approx(value)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantile_of_any_values_lies_between_them(values: list[float], share: float) -> None:
    assert min(values) - 1e-6 <= quantile(values, share) <= max(values) + 1e-6


def test_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="of 0 values"):
        quantile([], 0.5)


def test_spread_of_some_values_sums_them_up() -> None:
    told = spread([1.0, 2.0, 6.0])
    assert (told.count, told.total, told.mean, told.median, told.largest) == (3, 9.0, 3.0, 2.0, 6.0)
    assert spread([]).count == 0
