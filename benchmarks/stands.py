"""Which second account a test run can be asked for from outside of the repository, by the parser of its log.

A stand prepares the sandbox before the tests and hears the witnesses afterwards; its folder is new for every run and
lies outside of the workspace. Python's witness sits in the test process (benchmarks/witness.py); Jest's is loaded by
node and signs what Jest itself reports (witness_jest.js); Go and Cargo start their test binaries through a program of
ours that outlives them (witness_run.sh); of Maven, the reports that Surefire writes are read. node's own runner, TAP
and Vitest have none: there the log and the exit code are all there is, and a grade says so.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from importlib.resources import files
from typing import Protocol
from xml.etree import ElementTree as ET

from ostro.benchmarks.parsers import PYTEST_FAMILY, UNITTEST_FAMILY
from ostro.benchmarks.statuses import TestStatus
from ostro.benchmarks.testimony import (
    MAX_ACCOUNT_BYTES,
    Account,
    KeyedStand,
    PythonStand,
    Testimony,
)
from ostro.sandbox.protocol import Sandbox

NATIVE_KEYS = 1024
"""Test binaries that are witnessed in one run: a package of Go or a crate of Rust has a few."""

JEST_KEYS = 16
"""Times that one command may start Jest."""

LOG_WORDS = {"ok": TestStatus.PASSED, "failed": TestStatus.FAILED, "ignored": TestStatus.SKIPPED}
"""Of the log file of Rust's test harness (library/test/src/console.rs)."""


class Stand(Protocol):
    """The witnesses of one run."""

    folder: str

    def prepare(self, sandbox: Sandbox) -> str:
        """Make ready; return the shell text that goes before the test command."""
        ...

    def hear(self, sandbox: Sandbox) -> Testimony | None:
        """Return what was seen; None where no witness could come in, and none was to be expected."""
        ...


def stand_for(parser: str, command: str) -> Stand | None:
    """Return the witnesses that a run can have, None where its runner has none.

    Args:
        parser: of its log, a key of `PARSERS`.
        command: what runs the tests; tox hides our folder from them.
    """
    if parser in PYTEST_FAMILY | UNITTEST_FAMILY | {"sympy"}:
        return None if "tox" in command.split() else PythonStand(command)
    if parser in ("gotest", "cargo"):
        return NativeStand()
    if parser == "jest":
        return JestStand()
    return MavenStand() if parser == "maven" else None


class JestStand(KeyedStand):
    """A module that every node process loads first, and in which Jest's own process gives an account."""

    def __init__(self) -> None:
        super().__init__(JEST_KEYS)

    def prepare(self, sandbox: Sandbox) -> str:
        """See `Stand.prepare`."""
        self.lay_keys(sandbox)
        module = f"{self.folder}/{secrets.token_hex(8)}.js"
        sandbox.write(module, files("ostro.benchmarks").joinpath("witness_jest.js").read_bytes())
        return f'export NODE_OPTIONS="--require={module}${{NODE_OPTIONS:+ $NODE_OPTIONS}}"\n'

    def hear(self, sandbox: Sandbox) -> Testimony | None:
        """See `Stand.hear`."""
        told = self.heard(sandbox)
        return told if told.taken else None


class NativeStand:
    """A program between `go test`, or cargo, and each test binary."""

    def __init__(self) -> None:
        self.folder = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108  # inside the sandbox
        self._keys = [secrets.token_hex(32) for _ in range(NATIVE_KEYS)]

    def prepare(self, sandbox: Sandbox) -> str:
        """See `Stand.prepare`."""
        program = f"{self.folder}/run"
        sandbox.write(program, files("ostro.benchmarks").joinpath("witness_run.sh").read_bytes())
        sandbox.write(f"{self.folder}/keys", "".join(f"{key}\n" for key in self._keys).encode())
        go = f'export GOFLAGS="${{GOFLAGS:+$GOFLAGS }}-exec={program}"'
        cargo = (
            "host=$(rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z.-' 'A-Z__')\n"
            f'[ -z "$host" ] || export "CARGO_TARGET_${{host}}_RUNNER={program}"'
        )
        sandbox.write(f"{self.folder}/bin/go", _launcher(go))
        sandbox.write(f"{self.folder}/bin/cargo", _launcher(cargo))
        sandbox.write(f"{self.folder}/prepare", _SET_UP.replace("FOLDER", self.folder).encode())
        return f". {self.folder}/prepare\n"

    def hear(self, sandbox: Sandbox) -> Testimony | None:
        """See `Stand.hear`."""
        done = sandbox.run(
            _COLLECT.replace("FOLDER", self.folder), cwd="/", keep_state=False, head_bytes=MAX_ACCOUNT_BYTES
        )
        parts = done.output.text().split("\0")
        left, unwitnessed = (int(word) for word in parts.pop().split())
        accounts: list[Account] = []
        forged = False
        for number, _, text in (part.partition("\n") for part in parts):
            account = self._account(number, text)
            forged |= account is None
            if account is not None:
                accounts.append(account)
        taken = NATIVE_KEYS - left
        return Testimony(tuple(accounts), taken, forged, complete=not unwitnessed) if taken else None

    def _account(self, number: str, text: str) -> Account | None:
        head, *lines = text.split("\n")
        words = head.split()
        if len(words) != 3 or not number.isdecimal() or words[0] != self._keys[int(number) % NATIVE_KEYS]:
            return None
        return Account(
            runner=words[1], exit_code=int(words[2]), canary="none", changed=(), tests=tuple(_libtest(lines))
        )


_SET_UP = """\
rm -f FOLDER/prepare
chmod +x FOLDER/run FOLDER/bin/*
number=0
while read -r key; do
  echo "$key" >FOLDER/key-$number
  number=$((number + 1))
done <FOLDER/keys
rm -f FOLDER/keys
for program in go cargo; do
  real=$(command -v $program) && echo "exec $real \\"\\$@\\"" >>FOLDER/bin/$program || rm -f FOLDER/bin/$program
done
unset number key program real
export PATH=FOLDER/bin:$PATH
"""

_COLLECT = r"""cd FOLDER || exit
for account in account-*; do
  [ ! -f "$account" ] || { echo "${account#account-}"; cat "$account"; printf '\0'; }
done
ls | grep -c '^key-'
ls | grep -c '^unwitnessed$'
"""


def _launcher(text: str) -> bytes:
    """Return a program that goes first on PATH; preparing adds the line that starts the real one."""
    return f"#!/bin/sh\n{text}\n".encode()


def _libtest(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        word, _, name = line.partition(" ")
        if word in LOG_WORDS and name:
            yield name, LOG_WORDS[word].value


class MavenStand:
    """The XML reports that Surefire and Failsafe write, in Maven's own process, of what the tests' process tells it.

    A later command may write over the report of an earlier one, so a test that is in no report says nothing.
    """

    def __init__(self) -> None:
        self.folder = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108  # inside the sandbox

    def prepare(self, sandbox: Sandbox) -> str:
        """See `Stand.prepare`."""
        sandbox.write(f"{self.folder}/start", b"")
        return ""

    def hear(self, sandbox: Sandbox) -> Testimony | None:
        """See `Stand.hear`."""
        find = (
            r"find . \( -path '*/surefire-reports/TEST-*.xml' -o -path '*/failsafe-reports/TEST-*.xml' \) "
            rf"-newer {self.folder}/start -exec cat {{}} \; -exec printf '\0' \;"
        )
        done = sandbox.run(find, cwd=sandbox.workdir, keep_state=False, head_bytes=MAX_ACCOUNT_BYTES)
        tests = tuple(test for report in done.output.text().split("\0") for test in surefire_tests(report))
        if not tests:
            return None
        account = Account(runner="maven", exit_code=None, canary="none", changed=(), tests=tests)
        return Testimony((account,), 1, complete=False)


def surefire_tests(report: str) -> Iterator[tuple[str, str]]:
    """Yield what one report says of each test, by every name that `-Dtest=` may call it."""
    if "<!DOCTYPE" in report or not report.strip():
        return  # Surefire writes none, and entities could grow without bound
    try:
        root = ET.fromstring(report)  # noqa: S314  # without a document type there are no entities
    except ET.ParseError:
        return
    for case in root.iter("testcase"):
        status = TestStatus.PASSED
        if case.find("failure") is not None or case.find("error") is not None:
            status = TestStatus.FAILED
        elif case.find("skipped") is not None:
            status = TestStatus.SKIPPED
        full = case.get("classname", "")
        method = re.split(r"[\[({]", case.get("name", ""), maxsplit=1)[0]
        for name in dict.fromkeys((full, full.rpartition(".")[2])):
            yield name, status.value
            yield f"{name}#{method}", status.value
