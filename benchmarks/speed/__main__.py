"""Play the rounds in turns and print each figure beside the peer's.

The machine should have nothing else to do. Rounds are interleaved, so that what the machine does meanwhile meets all;
the first round of each contestant is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from ostro.agent.errors import OstroError
from ostro.benchmarks.speed.contestants import Contestant, Sandbox, mini, ostro
from ostro.benchmarks.speed.measure import Measured, measure, median
from ostro.sandbox.image import BASE_TAG
from ostro.sandbox.scratch import scratch_folder

WARM_UP = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or that of the error."""
    parser = argparse.ArgumentParser(prog="speed", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mini", type=Path, metavar="PYTHON", help="interpreter that has mini-swe-agent")
    parser.add_argument("--sandbox", action="append", choices=["docker", "local"], help="repeatable; local by default")
    parser.add_argument("--image", default=BASE_TAG, help="for Docker: with Python and git")
    parser.add_argument("--rounds", type=int, default=5, help="counted ones of each contestant")
    parser.add_argument("--out", type=Path, help="write every round as JSON")
    given = parser.parse_args(argv)
    try:
        with scratch_folder("speed-home") as home:
            groups = compared(given.sandbox or ["local"], given.mini, given.image, home)
            rounds = play(groups, given.rounds)
    except OstroError as error:
        print(f"speed: {error}", file=sys.stderr)
        return error.exit_code
    for group in groups:
        print("\n".join(table([one.name for one in group], rounds)), end="\n\n")
    if given.out:
        found = {name: [asdict(one) for one in measured] for name, measured in rounds.items()}
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def compared(sandboxes: Sequence[Sandbox], python: Path | None, image: str, home: Path) -> list[list[Contestant]]:
    """Return who is compared with whom: Ostro first, then its peer in the same kind of sandbox."""
    peers = [python] if python is not None else []
    return [[ostro(one, image, home), *(mini(peer, one, image) for peer in peers)] for one in dict.fromkeys(sandboxes)]


def play(groups: Sequence[Sequence[Contestant]], rounds: int) -> dict[str, list[Measured]]:
    """Let everybody do the task in turns; return the counted rounds of each, by name.

    Raises:
        SpeedError: somebody did not do the task.
    """
    everybody = [one for group in groups for one in group]
    found: dict[str, list[Measured]] = {one.name: [] for one in everybody}
    for number in range(WARM_UP + rounds):
        for one in everybody:
            with scratch_folder("speed") as folder:
                measured = measure(one, folder)
            print(f"{number}: {one.name} {measured.total_s:.2f} s", file=sys.stderr)
            if number >= WARM_UP:
                found[one.name].append(measured)
    return found


def table(names: Sequence[str], rounds: dict[str, list[Measured]]) -> list[str]:
    """Return the lines of a Markdown table: each figure of the first, of the others, and the ratio to each."""
    medians = [median(rounds[name]) for name in names]
    peers = [f"{name} | ratio" for name in names[1:]]
    lines = [f"| median of {len(rounds[names[0]])} | {' | '.join([names[0], *peers])} |"]
    lines.append("|---|" + "---:|" * (2 * len(names) - 1))
    for field in fields(Measured):
        ours, *others = (getattr(one, field.name) for one in medians)
        cells = [f"{ours:.3g}"]
        for theirs in others:
            cells += [f"{theirs:.3g}", f"{ours / theirs:.2f}"]
        lines.append(f"| {field.name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
