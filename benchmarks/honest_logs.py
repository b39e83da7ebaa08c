"""Logs as honest test runs leave them, generated: every runner that we claim to read, with the noise of real life.

Data for benchmarks/differential.py. A log is a list of tests with results, written as the runner writes it, between
what else runs print: captured output, log lines that look like failures, colours, warnings, interrupted lines.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from ostro.benchmarks.official_verdicts import LoggedRun

Outcome = str
"""`pass`, `fail`, `error`, `skip` or `xfail`."""

Case = tuple[str, Outcome]

_WORDS = ("parse", "merge", "query", "index", "date", "form", "cache", "token", "route", "shape", "limit", "fold")
_NOISE = (
    "warning: deprecated call",
    "ERROR    root:client.py:88 connection refused",
    "ERROR: could not find the cache, starting with an empty one",
    "  File \"/testbed/lib/x.py\", line 3, in run",
    "",
    "ok then",
    "Creating test database for alias 'default'...",
    "System check identified no issues (0 silenced).",
    "INFO: 12 passing through the gate",
    "PASSED",
    "FAILED",
    "... 3 more",
    "\x1b[32mgreen\x1b[0m",
    "tests: done",
    "Größe: 3 µm",
)  # fmt: skip


class Maker:
    """Makes logs of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  # a corpus, not a secret

    def run(self, name: str, parser: str) -> LoggedRun:
        """Return one honest run whose log `parser` reads."""
        cases = self._cases(_NAMERS.get(parser, _plain_name))
        text, names = _WRITERS[parser](self, cases)
        code = 1 if any(outcome in ("fail", "error") for _, outcome in cases) else 0
        if self.chance(0.03):
            code = self.random.choice([0, 1, 2])
        wanted = [*dict.fromkeys(names)]
        self.random.shuffle(wanted)
        if self.chance(0.1):
            wanted.append(f"{_plain_name(self)}_that_never_ran")
        wanted = [self._cut_off(one) for one in wanted]
        cut = self.random.randint(1, max(1, len(wanted) // 2))
        if self.chance(0.15):
            text = text.replace("\n", "\r\n")
        return LoggedRun(name, parser, tuple(wanted[:cut]), tuple(wanted[cut:]), text, code)

    def chance(self, share: float) -> bool:
        """Return True in that share of calls."""
        return self.random.random() < share

    def noise(self) -> list[str]:
        """Return nothing, mostly, or some lines that say nothing of tests."""
        return self.random.choices(_NOISE, k=self.random.randint(1, 4)) if self.chance(0.25) else []

    def word(self) -> str:
        """Return a word that a test may be named after."""
        return self.random.choice(_WORDS)

    def _cases(self, namer: Callable[[Maker], str]) -> list[Case]:
        names = dict.fromkeys(namer(self) for _ in range(self.random.randint(1, 14)))
        gloomy = self.random.choice([0.0, 0.0, 0.1, 0.5])
        outcomes: list[Case] = []
        for name in names:
            if self.chance(gloomy):
                outcomes.append((name, self.random.choice(["fail", "error"])))
            else:
                outcomes.append((name, self.random.choice(["pass"] * 12 + ["skip", "xfail"])))
        return outcomes

    def _cut_off(self, name: str) -> str:
        at = name.find("[")
        return name[: at + 2] if at > 0 and self.chance(0.05) and len(name) > at + 3 else name


def _plain_name(maker: Maker) -> str:
    return f"test_{maker.word()}_{maker.word()}_{maker.random.randint(1, 99)}"


def _node_id(maker: Maker) -> str:
    name = f"tests/test_{maker.word()}.py::{maker.random.choice(['', 'TestCase::'])}{_plain_name(maker)}"
    options = ("[1]", "[a b]", "[/tmp/x/in.py]", "[//host/a]", "[MouseButton.LEFT]", "[a - b]", "[x[y]]", "[ä]", "")
    return name + maker.random.choice(options)


def _unittest_name(maker: Maker) -> str:
    name = _plain_name(maker)
    if maker.chance(0.15):
        return f"{name.replace('_', ' ').capitalize()} is kept, #{maker.random.randint(1, 9)}."
    return f"{name} ({maker.word()}_tests.tests.Case.{name})"


def _title(maker: Maker) -> str:
    return f"{maker.word()} {maker.random.choice(['adds', 'keeps', 'drops'])} the {maker.word()} ({_plain_name(maker)})"


def _rust_name(maker: Maker) -> str:
    return f"{maker.word()}::tests::{_plain_name(maker)}"


def _go_name(maker: Maker) -> str:
    name = f"Test{maker.word().title()}{maker.random.randint(1, 99)}"
    return maker.random.choice([name, f"{name}/{maker.word()}_{maker.word()}"])


def _java_name(maker: Maker) -> str:
    return f"{maker.word().title()}Test#{_plain_name(maker)}"


_PYTEST_WORDS = {"pass": "PASSED", "fail": "FAILED", "error": "ERROR", "skip": "SKIPPED", "xfail": "XFAIL"}


def _pytest(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    return _pytest_log(maker, cases, lambda name: name.split()[0])


def _pytest_v2(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    if maker.chance(0.3):
        lines = [f"{name} {_PYTEST_WORDS[outcome]}" for name, outcome in cases]
        return _between(maker, lines), [name for name, _ in cases]
    return _pytest_log(maker, cases, lambda name: name, colours=maker.chance(0.3))


def _options(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    return _pytest_log(maker, cases, lambda name: name.split()[0].replace("/tmp/x/in.py", "/in.py"))  # noqa: S108


def _matplotlib(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    return _pytest_log(maker, cases, lambda name: name.split()[0].replace("MouseButton.LEFT", "1"))


def _seaborn(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    if maker.chance(0.5):
        return _pytest_log(maker, cases, lambda name: name.split()[0])
    lines = [f"{name.split()[0]} {_PYTEST_WORDS[outcome]} [ 50%]" for name, outcome in cases]
    return _between(maker, lines), [name.split()[0] for name, _ in cases]


def _pytest_log(
    maker: Maker, cases: Sequence[Case], named: Callable[[str], str], *, colours: bool = False
) -> tuple[str, list[str]]:
    order = sorted(cases, key=lambda case: list(_PYTEST_WORDS).index(case[1]))
    lines: list[str] = []
    for name, outcome in order:
        word = f"\x1b[31m{_PYTEST_WORDS[outcome]}\x1b[0m" if colours else _PYTEST_WORDS[outcome]
        if outcome == "skip" and not colours:
            lines.append(f"SKIPPED [1] {name.split('::')[0]}:{maker.random.randint(1, 99)}: no {maker.word()}")
        elif outcome in ("fail", "error"):
            lines.append(
                f"{word} {name} - {maker.random.choice(['AssertionError: assert 1 == 2', 'ValueError: a - b'])}"
            )
        else:
            lines.append(f"{word} {name}")
    dots = "".join({"pass": ".", "fail": "F", "error": "E", "skip": "s", "xfail": "x"}[one] for _, one in cases)
    head = ["=== test session starts ===", f"collected {len(cases)} items", "", f"tests/test_a.py {dots}   [100%]"]
    body = [*maker.noise(), "=== short test summary info ===", *lines, f"=== {len(cases)} tests in 0.12s ==="]
    return "\n".join([*head, *body]), [named(name) for name, _ in cases]


def _django(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {
        "pass": "ok",
        "fail": "FAIL",
        "error": "ERROR",
        "skip": "skipped 'no database'",
        "xfail": "expected failure",
    }
    lines = ["Testing against Django installed in '/testbed/django' with up to 2 processes", *maker.noise()]
    for name, outcome in cases:
        if outcome == "pass" and maker.chance(0.1):
            lines += [f"{name} ... {maker.random.choice(_NOISE)}", maker.random.choice(_NOISE), "ok"]
        else:
            lines.append(f"{name} ... {words[outcome]}")
    for name, outcome in cases:
        if outcome in ("fail", "error"):
            lines += [
                "=" * 70,
                f"{words[outcome]}: {name}",
                "-" * 70,
                "Traceback (most recent call last):",
                *maker.noise(),
            ]
    lines += ["-" * 70, f"Ran {len(cases)} tests in 1.234s", "", "OK"]
    return "\n".join(lines), [name for name, _ in cases]


def _sympy(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {"pass": "ok", "fail": "F", "error": "E", "skip": "s", "xfail": "f"}
    lines = [f"sympy/core/tests/test_{maker.word()}.py[{len(cases)}]"]
    lines += [f"{name} {words[outcome]}" for name, outcome in cases]
    lines[-1] += "   [FAIL]" if maker.chance(0.1) else ""
    for name, outcome in cases:
        if outcome == "fail":
            lines += ["_" * 80, f"____ sympy/core/tests/test_{maker.word()}.py:{name} ____", *maker.noise()]
    lines.append(f"=== tests finished: {len(cases)} passed, in 0.5 seconds ===")
    return "\n".join(lines), [name for name, _ in cases]


def _go(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {"pass": "PASS", "fail": "FAIL", "error": "FAIL", "skip": "SKIP", "xfail": "PASS"}
    lines: list[str] = []
    for name, outcome in cases:
        indent = "    " if "/" in name else ""
        lines += [f"=== RUN   {name}", *maker.noise(), f"{indent}--- {words[outcome]}: {name} (0.0{len(name) % 9}s)"]
    return "\n".join([*lines, "PASS", "ok  \texample.org/x\t0.012s"]), [name for name, _ in cases]


def _cargo(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {"pass": "ok", "fail": "FAILED", "error": "FAILED", "skip": "ignored", "xfail": "ok"}
    lines = [f"running {len(cases)} tests", *(f"test {name} ... {words[outcome]}" for name, outcome in cases)]
    return _between(maker, lines), [name for name, _ in cases]


def _maven(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    lines: list[str] = []
    for name, outcome in cases:
        lines += [f"+ mvnd test -B -pl gson -Dtest={name}", "[INFO] Scanning for projects...", *maker.noise()]
        result = f"[INFO] BUILD {'FAILURE' if outcome in ('fail', 'error') else 'SUCCESS'}"
        if maker.chance(0.1) and len(lines) > 4:
            lines.insert(-2, result)
        else:
            lines.append(result)
    return "\n".join(lines), [name for name, _ in cases]


def _jest(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {"pass": "✓", "fail": "✕", "error": "✕", "skip": "○", "xfail": "✓"}
    lines = ["PASS test/a.test.js", "  suite"]
    for name, outcome in cases:
        lines.append(f"    {words[outcome]} {name}{maker.random.choice(['', ' (3 ms)', ' (1 s)'])}")
    return _between(maker, [*lines, f"Tests:       {len(cases)} total"]), [name for name, _ in cases]


def _jest_json(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {"pass": "[PASSED]", "fail": "[FAILED]", "error": "[FAILED]", "skip": "[PENDING]", "xfail": "[PASSED]"}
    return _between(maker, [f"{words[outcome]} {name}" for name, outcome in cases]), [name for name, _ in cases]


def _vitest(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    words = {"pass": "✓", "fail": "\u00d7", "error": "\u00d7", "skip": "↓", "xfail": "✓"}
    lines = [f" {words[outcome]} {name}{maker.random.choice(['', ' 3ms', ' 1s'])}" for name, outcome in cases]
    return _between(maker, lines), [name for name, _ in cases]


def _tap(maker: Maker, cases: Sequence[Case]) -> tuple[str, list[str]]:
    lines = ["TAP version 13", f"1..{len(cases)}"]
    for number, (name, outcome) in enumerate(cases, start=1):
        lines += [f"{'not ok' if outcome in ('fail', 'error') else 'ok'} {number} {name}", *maker.noise()]
    return "\n".join(lines), [name for name, _ in cases]


def _between(maker: Maker, lines: Sequence[str]) -> str:
    """Return the lines with noise between some."""
    return "\n".join(part for line in lines for part in (*maker.noise(), line))


_NAMERS: Mapping[str, Callable[[Maker], str]] = {
    **dict.fromkeys(("pytest", "pytest_options", "pytest_v2", "matplotlib", "seaborn"), _node_id),
    **dict.fromkeys(("django", "unittest"), _unittest_name),
    **dict.fromkeys(("jest", "jest_json", "vitest", "tap"), _title),
    "gotest": _go_name,
    "cargo": _rust_name,
    "maven": _java_name,
}

_WRITERS: Mapping[str, Callable[[Maker, Sequence[Case]], tuple[str, list[str]]]] = {
    "pytest": _pytest,
    "pytest_options": _options,
    "pytest_v2": _pytest_v2,
    "matplotlib": _matplotlib,
    "seaborn": _seaborn,
    "django": _django,
    "unittest": _django,
    "sympy": _sympy,
    "gotest": _go,
    "cargo": _cargo,
    "maven": _maven,
    "jest": _jest,
    "jest_json": _jest_json,
    "vitest": _vitest,
    "tap": _tap,
}

PARSERS_COMPARED = tuple(_WRITERS)


def honest_runs(count: int, seed: int) -> list[LoggedRun]:
    """Return so many runs, the parsers taking turns; the same for the same seed."""
    maker = Maker(seed)
    return [maker.run(f"log-{number}", PARSERS_COMPARED[number % len(PARSERS_COMPARED)]) for number in range(count)]
