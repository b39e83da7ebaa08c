"""What differs between two identical runs of a command: one list of rules, each replacing one such thing.

Replay (agent/record/replay.py) compares observations after it, the loop detector (agent/repetition.py) uses it to
see that nothing new came. docs/trajectory.md lists the rules. Not on the list, so a difference: the order of a set
(Python's hash seed), plain dates without a time of day, version numbers, sizes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_ZONE = r"(?: ?(?:Z\b|[+-]\d\d:?\d\d\b|UTC\b|GMT\b))?"
_COMMIT = r"[0-9a-f]{7,40}"


@dataclass(frozen=True)
class Rule:
    """One thing that is no difference.

    Attributes:
        meaning: what is replaced, for the documentation.
        stand_in: what stands there instead; groups of the pattern may be kept.
    """

    name: str
    meaning: str
    pattern: re.Pattern[str]
    stand_in: str


def _rule(name: str, meaning: str, pattern: str, stand_in: str) -> Rule:
    return Rule(name, meaning, re.compile(pattern, re.MULTILINE), stand_in)


RULES: tuple[Rule, ...] = (
    _rule(
        "date",
        "a date with the time of day: ISO 8601, `date`, `git log`, mail headers",
        rf"\b(?:\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?{_ZONE}"
        rf"|{_DAY} {_MONTH} [ \d]?\d {_CLOCK}(?: [A-Z]{{2,5}})? \d{{4}}(?: [+-]\d{{4}})?"
        rf"|{_DAY}, \d\d? {_MONTH} \d{{4}} {_CLOCK}{_ZONE})",
        "DATE",
    ),
    _rule(
        "listing_date",
        "the date in a line of `ls -l`",
        rf"\b{_MONTH} [ \d]\d (?:\d\d:\d\d| \d{{4}})(?= )",
        "DATE",
    ),
    _rule(
        "listing_folder",
        "links, owner and size of a folder in `ls -l`; `total`",
        r"^(?:(d[rwxsStT-]{9})[.+@]?\s+\d+ +\S+ +\S+ +\S+(?= DATE )|total [\d.]+[KMG]?$)",
        r"\1",
    ),
    _rule(
        "listing_file",
        "links, owner and column width of a file in `ls -l`; its size stays",
        r"^([-lbcps][rwxsStT-]{9})[.+@]?\s+\d+ +\S+ +\S+ +(\S+ DATE )",
        r"\1 \2",
    ),
    _rule("clock", "a time of day, a duration in hours", rf"\b(?:{_CLOCK}|\d+:\d\d:\d\d(?:\.\d+)?)\b", "TIME"),
    _rule(
        "status",
        "the seconds in Ostro's own line below an output, which a quick command has not",
        r"^(\[exit code -?\d+(?:, (?!\d+ s\b)[^\],\n]*)*), \d+ s(?=[,\]])",
        r"\1",
    ),
    _rule(
        "duration",
        "a duration: `0.12s`, `3 ms`, `in 4 seconds`, `0m0.012s`",
        r"\b(?:\d+m)?\d+\.\d+ ?(?:[mnuµμ]?s|m?secs?|(?:milli)?seconds?)\b|\b\d+ ?[mnuµμ]s\b"
        r"|(?<=\bin )\d+ ?s(?:ec(?:ond)?s?)?\b",
        "TIME",
    ),
    _rule("time_command", "what `time -p` prints", r"^(real|user|sys)(\s+)\d+\.\d+$", r"\1\2TIME"),
    _rule(
        "epoch",
        "seconds, milli- or nanoseconds since 1970, from the year 2017 on",
        r"\b1[5-9]\d{8}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?\b",
        "EPOCH",
    ),
    _rule("address", "an address in memory", r"\b0x[0-9a-fA-F]{6,}\b", "0x"),
    _rule("uuid", "a UUID", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    _rule("pid", "the number of a process after `pid`", r"\b([Pp]id|PID)([ =:]*)\d+\b", r"\1\2PID"),
    _rule("job_control", "the number of a process that the shell put in the background", r"^(\[\d+\]) \d+$", r"\1 PID"),
    _rule(
        "killed",
        "the number of a process in the shell's word on its end",
        r"(: line \d+:)\s+\d+ (?=Killed|Terminated|Aborted|Hangup|Segmentation fault|Bus error|Floating point)",
        r"\1 PID ",
    ),
    _rule(
        "temporary",
        "a name in a temporary folder",
        r"((?:/var)?/tmp)/[\w.-]+",
        r"\1/X",
    ),
    _rule(
        "commit",
        "the id of a git commit: after `commit`, in `[main 1a2b3c4]`, `HEAD is now at`, at the start of a line",
        rf"(^commit |^Merge: |\bHEAD is now at |^\[[\w./-]+ (?:\(root-commit\) )?){_COMMIT}(?: {_COMMIT})?\b"
        rf"|^\^?{_COMMIT}(?= \S)",
        r"\1COMMIT",
    ),
    _rule(
        "port",
        "a port of this machine that the system chose",
        r"((?:127\.0\.0\.1|localhost|0\.0\.0\.0):)(?:3[2-9]|[4-6]\d)\d{3}\b",
        r"\1PORT",
    ),
    _rule("seed", "the seed of a random order", r"\b([Ss]eed)( ?[=:] ?| )\d+\b", r"\1\2SEED"),
    _rule(
        "job", "whether a background job has ended yet", r"^(job-\d+: )(?:running|ended with exit code -?\d+);", r"\1"
    ),
    _rule("job_end", "the line that says that one has ended", r"\n\[job-\d+ ended with exit code -?\d+; log .*\]$", ""),
    _rule("step", "the mark by which Ostro knows the processes of a call", r"\bOSTRO_STEP=\S+", "OSTRO_STEP"),
    _rule(
        "caret",
        "the line of carets below a line of a Python traceback, which versions draw differently",
        r"^[ ]{4,}[~^]+\n",
        "",
    ),
)


def normalise(text: str) -> str:
    """Return `text` with every volatile part replaced, by the rules in their order."""
    for rule in RULES:
        text = rule.pattern.sub(rule.stand_in, text)
    return text
