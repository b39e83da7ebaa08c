"""What may be written to a terminal: safe text, colour where it is wanted, figures for people.

Model replies, command output and issue text are untrusted: escape sequences and invisible characters in them
are shown, never obeyed.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TextIO

GREEN, RED, YELLOW, BLUE, DIM, BOLD = "32", "31", "33", "36", "2", "1"

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # zero width, line separators, bidirectional
    "\U000e0000-\U000e007f\ud800-\udfff]"  # tags, lone surrogates
)


def printable(text: str) -> str:
    """Show every character that could steer a terminal or hide text as an escape; tabs and newlines stay."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, width: int) -> str:
    """Return `text` on one line, printable, cut to `width` characters with an ellipsis."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= width else flat[: max(0, width - 1)] + "…"


def columns() -> int:
    """Return the width of the terminal, 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that can redraw a line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def wants_color(stream: TextIO) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, *codes: str, on: bool) -> str:
    """Wrap `text` in the given SGR codes when `on`."""
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if on and codes else text


def dollars(amount: float) -> str:
    """Format a cost: cents where they say enough, more digits for small sums."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def seconds(duration: float) -> str:
    """Format a duration: `0.8 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if duration < 10:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: int) -> str:
    """Format a number of bytes: `512 B`, `3.4 kB`, `1.2 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
