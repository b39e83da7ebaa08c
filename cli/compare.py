"""`ostro compare`: whether two evaluations differ by more than chance, and on which instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.options import examples, output_option, print_json

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ostro.benchmarks.compare import Comparison, Flip, Measure
    from ostro.benchmarks.summary import Rate

LISTED = 50
"""Instances that are listed of each kind; --output json has all of them."""


@click.command(
    epilog=examples(
        "ostro compare runs/a runs/b",
        "ostro compare runs/a runs/b --output json",
    ),
)
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--across-datasets", is_flag=True, help="Compare by id though the rows differ.")
@output_option
def command(first: Path, second: Path, across_datasets: bool, output: str) -> int:
    """Compare two evaluations over the same instances, pair by pair.

    FIRST and SECOND are run folders. Only instances that both have a final result of are compared. Printed are the
    rates, the difference with its 95 % interval (Bonett and Price), the p of McNemar's exact test, every instance that
    flips, cost, tokens, steps and time, and what else differs between the runs.
    """
    from ostro.benchmarks.compare import compare
    from ostro.benchmarks.store import read_run

    told = compare(read_run(first), read_run(second), across_datasets=across_datasets)
    if output == "json":
        print_json(told.model_dump(mode="json"))
    else:
        click.echo("\n".join(_lines(told)))
    return 0


def _lines(told: Comparison) -> Iterator[str]:
    from ostro.cli.terminal import one_line

    yield f"first   {one_line(told.first, 80)}"
    yield f"second  {one_line(told.second, 80)}"
    yield ""
    yield "1 instance in both" if told.pairs == 1 else f"{told.pairs} instances in both"
    yield f"  first       {_rate(told.first_rate)}"
    yield f"  second      {_rate(told.second_rate)}"
    low, high = told.interval.low * 100, told.interval.high * 100
    yield f"  difference  {told.difference * 100:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"
    yield f"  flips       {len(told.gained)} gained, {len(told.lost)} lost; McNemar's exact p = {told.p_value:.3g}"
    yield ""
    yield told.verdict
    for title, flips in (("Gained by the second", told.gained), ("Lost by the second", told.lost)):
        if flips:
            yield from ("", f"{title}:", *_flips(flips))
    yield ""
    yield f"{'':12}{'first':>14}{'second':>14}{'median first':>16}{'median second':>16}{'median change':>16}"
    yield from (_measure(measure) for measure in told.measures)
    if told.left_out:
        yield from ("", "Left out:")
        yield from (f"  {one.instance_id}  {one_line(one.reason, 100)}" for one in told.left_out[:LISTED])
        yield from _more(len(told.left_out))
    if told.differences:
        yield from ("", "What differs in what ran:")
        for one in told.differences:
            for key, left, right in _parts(one.key, one.first, one.second):
                yield f"  {key}: {one_line(str(left), 60)} -> {one_line(str(right), 60)}"
    yield from ("", *(f"Warning: {text}" for text in told.warnings)) if told.warnings else ()


def _parts(key: str, first: JsonValue, second: JsonValue) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Yield what differs by its own name: of two objects only the entries that are not the same."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in (*first, *(name for name in second if name not in first)):
            if first.get(name) != second.get(name):
                yield from _parts(f"{key}.{name}", first.get(name), second.get(name))
    else:
        yield key, first, second


def _rate(rate: Rate) -> str:
    interval = rate.interval
    return (
        f"{rate.resolved:g} of {rate.instances}, {rate.share:.1%} (95 % interval {interval.low:.1%} to "
        f"{interval.high:.1%})"
    )


def _flips(flips: tuple[Flip, ...]) -> Iterator[str]:
    for flip in flips[:LISTED]:
        yield f"  {flip.instance_id}  {flip.first_status} -> {flip.second_status}"
    yield from _more(len(flips))


def _more(count: int) -> Iterator[str]:
    if count > LISTED:
        yield f"  and {count - LISTED} more; --output json lists them"


def _measure(measure: Measure) -> str:
    known = {"cost_usd": ("cost, $", 4), "tokens": ("tokens", 0)}
    name, digits = known.get(measure.name, (measure.name, 1))
    change = round(measure.median_change, digits) + 0.0  # no minus before a zero
    totals = f"{measure.first_total:>14,.{digits}f}{measure.second_total:>14,.{digits}f}"
    medians = f"{measure.first_median:>16,.{digits}f}{measure.second_median:>16,.{digits}f}"
    return f"{name:<12}{totals}{medians}{change:>+16,.{digits}f}"
