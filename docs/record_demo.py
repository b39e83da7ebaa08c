"""Record `ostro demo` in a pseudo-terminal and draw what it left on the screen as docs/demo.svg.

Usage: python docs/record_demo.py [ostro demo flags]; the picture is of a real run, nothing in it is edited.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from html import escape
from itertools import groupby
from pathlib import Path
from subprocess import Popen
from termios import TIOCSWINSZ

COLUMNS, ROWS = 108, 50
CELL_WIDTH, LINE_HEIGHT, FONT_SIZE = 7.9, 17.5, 13
PADDING, BAR = 18, 34
BACKGROUND, FOREGROUND = "#10151d", "#d5dbe3"
COLORS = {"31": "#ff7b72", "32": "#56d364", "33": "#e3b341", "36": "#79c0ff"}
DIM = "#8b949e"
SGR = re.compile(r"\x1b\[([0-9;]*)m")
ERASED = re.compile(r"^.*\x1b\[2K")
"""Whatever stood on a line before it was erased."""


@dataclass(frozen=True)
class Run:
    """A piece of one line in one style; `codes` as in the escape sequence."""

    column: int
    text: str
    codes: tuple[str, ...]


def record(command: Sequence[str]) -> str:
    """Run `command` in a terminal of COLUMNS by ROWS and return everything that it wrote.

    Raises:
        RuntimeError: it failed; a picture of a failure is not what is wanted.
    """
    reader, writer = pty.openpty()
    ioctl(writer, TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory(prefix="ostro-") as home:
        variables = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "OSTRO_HOME": home}
        process = Popen(command, stdout=writer, stderr=writer, env=os.environ | variables)
        os.close(writer)
        written = b"".join(_read(reader))
        if process.wait():
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{written.decode()}")
    return written.decode()


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # EIO: the other end is closed and all is read
            return
        yield chunk


def screen(written: str) -> list[list[Run]]:
    """Return the lines that stay, each as runs of one style, wrapped as the terminal does."""
    lines = [ERASED.sub("", line.rstrip("\r")) for line in written.rstrip().split("\n")]
    return [wrapped for line in lines for wrapped in _wrapped(list(_runs(line)))]


def _runs(line: str) -> Iterator[Run]:
    column = 0
    codes: tuple[str, ...] = ()
    for index, part in enumerate(SGR.split(line.replace("\r", ""))):
        if index % 2:
            codes = tuple(code for code in part.split(";") if code not in ("", "0"))
        else:
            for character in part:
                yield Run(column, character, codes)
                column += 1


def _wrapped(cells: list[Run]) -> Iterator[list[Run]]:
    for start in range(0, max(1, len(cells)), COLUMNS):
        row = cells[start : start + COLUMNS]
        groups = groupby(enumerate(row), key=lambda numbered: numbered[1].codes)
        pieces = [(codes, list(numbered)) for codes, numbered in groups]
        yield [Run(piece[0][0], "".join(cell.text for _, cell in piece), codes) for codes, piece in pieces]


def draw(lines: list[list[Run]], title: str) -> str:
    """Return the SVG."""
    width, height = COLUMNS * CELL_WIDTH + 2 * PADDING, len(lines) * LINE_HEIGHT + BAR + PADDING
    dots = "".join(
        f'<circle cx="{PADDING + 18 * place}" cy="17" r="5.5" fill="{fill}"/>'
        for place, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    texts = "\n".join(_text(run, row) for row, runs in enumerate(lines) for run in runs if run.text.strip())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}">\n'
        f'<rect width="100%" height="100%" rx="9" fill="{BACKGROUND}"/>\n{dots}\n'
        f"<g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" "
        f'font-size="{FONT_SIZE}" fill="{FOREGROUND}" xml:space="preserve">\n{texts}\n</g>\n</svg>\n'
    )


def _text(run: Run, row: int) -> str:
    x, y = PADDING + run.column * CELL_WIDTH, BAR + (row + 0.75) * LINE_HEIGHT
    fill = next((COLORS[code] for code in run.codes if code in COLORS), DIM if "2" in run.codes else "")
    style = (f' fill="{fill}"' if fill else "") + (' font-weight="bold"' if "1" in run.codes else "")
    length = f'textLength="{len(run.text) * CELL_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {length}{style}>{escape(run.text)}</text>'


def main() -> None:
    """Record, draw, and write docs/demo.svg."""
    flags = sys.argv[1:]
    written = record([sys.executable, "-m", "ostro.cli.main", "demo", *flags])
    prompt = [Run(0, "$ ", ("32",)), Run(2, "make demo", ("1",))]
    picture = draw([prompt, *screen(written)], "A run of ostro demo in a terminal")
    (Path(__file__).parent / "demo.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
