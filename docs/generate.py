"""Write the reference pages from the code: commands from the help texts, settings from Settings, events from the log.

Usage: python docs/generate.py [--check]; with --check nothing is written and a page that differs is an error.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import get_args

import click

from ostro.agent.config import LIMIT_KEYS, REPOSITORY_KEYS, Settings
from ostro.agent.outcome import EXIT_CODES
from ostro.agent.record.chain import SUM_DIGITS
from ostro.agent.record.events import SCHEMA, Event
from ostro.agent.record.volatile import RULES
from ostro.cli.main import COMMANDS, CONTEXT, cli

DOCS = Path(__file__).parent
MEANINGS = {
    0: "done; for `run`, `resume` and `demo`: submitted, with a patch",
    1: "for `run`: ended without a patch; for `doctor`: something needs mending",
    2: "bad input: a flag, a file, an issue, a repository",
    3: "a limit was reached; the patch so far is kept and named",
    4: "the model or its endpoint failed",
    5: "the sandbox or the environment failed",
    6: "the disk: no room, no permission",
    7: "for `pr`: the forge refused, or did not answer",
    8: "for `replay`: something came out differently",
    9: "for `grade` and `validate`: fewer than `--fail-under`",
    70: "a bug of Ostro; a report was written",
    130: "interrupted",
}


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = ["# Commands", "", "Made from `ostro COMMAND --help` by docs/generate.py; `make docs` writes it anew.", ""]
    parts += _help_of(cli, "ostro")
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"ostro.cli.{name.replace('-', '_')}").command
        parts += ["", f"## ostro {name}", "", *_help_of(command, f"ostro {name}")]
        if isinstance(command, click.Group):
            for child, inner in command.commands.items():
                parts += ["", f"### ostro {name} {child}", "", *_help_of(inner, f"ostro {name} {child}")]
    parts += ["", "## Exit codes", "", "| code | meaning | outcomes |", "|---|---|---|"]
    for code, meaning in MEANINGS.items():
        endings = ", ".join(ending.value for ending, number in EXIT_CODES.items() if number == code)
        parts.append(f"| {code} | {meaning} | {endings} |")
    parts += [
        "",
        "`ostro exec` ends with the command's own code, 124 when it timed out, 125 when the sandbox failed.",
        "",
    ]
    return "\n".join(parts)


def _help_of(command: click.Command, name: str) -> list[str]:
    context = click.Context(command, info_name=name, terminal_width=100, **CONTEXT)  # type: ignore[arg-type]
    return ["```text", *(line.rstrip() for line in command.get_help(context).splitlines()), "```"]


def configuration_page() -> str:
    """Return docs/configuration.md."""
    parts = [
        "# Configuration",
        "",
        "Later wins: defaults, the user's file `~/.config/ostro/config.toml`, `ostro.toml` or `[tool.ostro]` in the",
        "`pyproject.toml` of the target repository, environment variables `OSTRO_*`, flags. `ostro config` prints the",
        "effective values and where each came from. Keys in the files are the names below.",
        "",
        "A target repository is untrusted: it may set only what has a mark in the last column, and may lower a limit",
        "but not raise it. Anything else it asks for is ignored with a warning.",
        "",
        "Made from the code by docs/generate.py; `make docs` writes it anew.",
        "",
        "| setting | default | meaning | variable | repository |",
        "|---|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "`~/.local/share/ostro`" if name == "home" else _default(field.default)
        own = "lower" if name in LIMIT_KEYS else "yes" if name in REPOSITORY_KEYS else ""
        parts.append(f"| `{name}` | {default} | {field.description} | `OSTRO_{name.upper()}` | {own} |")
    parts += [
        "",
        "`OSTRO_API_KEY` is the key of an endpoint given by URL; it is read from the environment only. Catalogued",
        "endpoints have variables of their own, which `ostro models` names. `NO_COLOR` switches colours off.",
        "",
    ]
    return "\n".join(parts)


def trajectory_page() -> str:
    """Return docs/trajectory.md."""
    parts = [
        "# Trajectory",
        "",
        "Every run folder holds `trajectory.jsonl`: the append-only log of typed events that is the run's only truth.",
        "Viewer, report and statistics read it. `ostro view` shows it; `ostro view --output json` prints the events as",
        "one object. A second attempt has a log of its own in `attempt-2/`, and so on.",
        "",
        "## A line",
        "",
        "One JSON object in UTF-8 with `type`, `seq` (from 0), `ts` (UTC), `mono` (seconds since the start), the",
        f"fields of its type, and last `sum`: the first {SUM_DIGITS} hexadecimal digits of the SHA-256 of the previous",
        "line's `sum` (nothing for the first line) followed by this line's JSON without its `sum`. A line is flushed",
        "to the disk before its effect is relied on. What a crash left behind the last whole line (a part of a line,",
        "zeros, the last line once more) is left out by every reader, and moved into `trajectory.jsonl.torn-1` and so",
        "on when the run goes on; any other damage is an error that names the line and its `seq`. An output that was",
        "shown in part lies whole, compressed, under `outputs/`, and `full_output` names it.",
        "",
        "No secret is in it: known secret values are replaced before anything enters the history. All else is kept as",
        "it came, so treat a trajectory as untrusted text.",
        "",
        "## Several processes",
        "",
        "A log is written on by every process that works on its attempt (`ostro resume`); `seq` and `mono` go on, and",
        "the time between two processes does not count. `resumed` begins the part of another process. Of a call there",
        "is one `observed`, and one `called` for each time it was begun: two or three where a process ended during it.",
        "A call that `resumed` lists in `rerun` has no new events. Turns are numbered without a gap, and the",
        "costs of all `planned` and `compacted` together are the cost of the attempt. A request to which no reply was",
        "logged, because the process ended meanwhile, is not booked: what it cost, if anything, is unknown.",
        "",
        "## Events",
        "",
        "Made from agent/record/events.py by docs/generate.py; `make docs` writes it anew.",
        "",
        "| type | meaning | fields |",
        "|---|---|---|",
    ]
    common = ("seq", "ts", "mono", "type")
    for event in get_args(get_args(Event)[0]):
        meaning = " ".join((event.__doc__ or "").split("\n\n")[0].split())
        fields = ", ".join(f"`{name}`" for name in event.model_fields if name not in common)
        parts.append(f"| `{event.model_fields['type'].default}` | {meaning} | {fields} |")
    parts += [
        "",
        f"The format's version is {SCHEMA}, in `schema_version` of `run_started`; a log of another version is refused,",
        "and the message names the version of Ostro that wrote it.",
        "",
    ]
    parts += _replay_section()
    return "\n".join(parts)


def _replay_section() -> list[str]:
    parts = [
        "## Replay",
        "",
        "`ostro replay` runs the loop anew with the recorded replies in the model's place: what the model sent goes",
        "through the same intake, the calls run in a fresh sandbox that starts from the base commit, and each",
        "observation, correction and ending, and the final patch, is compared with the recorded one. A log that ends",
        "in the middle is replayed up to there; a call that was cut off and not run again is not run.",
        "",
        "Before two texts are compared these parts are replaced in both, in this order; the loop detector of a run",
        "does the same. Where the workspace is, is no difference either. Not on the list, so a difference: the order",
        "of a set (Python's hash seed), dates without a time of day, version numbers, whether a command that is near",
        "its time limit still makes it.",
        "",
        "| rule | what is replaced |",
        "|---|---|",
    ]
    return [*parts, *(f"| `{rule.name}` | {rule.meaning} |" for rule in RULES), ""]


def _default(value: object) -> str:
    return "" if value is None or value == "" else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> int:
    """Write or check every page; return the exit code."""
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    pages = {"cli.md": cli_page, "configuration.md": configuration_page, "trajectory.md": trajectory_page}
    for name, page in pages.items():
        path, text = DOCS / name, page()
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(text, "utf-8")
    if check and stale:
        sys.stderr.write(f"{', '.join(stale)} differ from the code; run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
