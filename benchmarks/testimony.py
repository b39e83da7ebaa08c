"""What witnesses of a test run say, and the host's side of those that sign it with a key (benchmarks/witness.py).

Folder, names and keys are new for every run, so nothing that a patch holds can know them. benchmarks/stands.py chooses
the witnesses by the runner.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import shlex
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ostro.benchmarks.statuses import TestStatus
from ostro.sandbox.protocol import Sandbox

_RUNNERS = re.compile(r"\b(pytest|py\.test|unittest|runtests|manage\.py|sympy|bin/test)\b")
MAX_ACCOUNT_BYTES = 32 * 1024 * 1024


class Account(BaseModel):
    """What the witness of one process saw.

    Attributes:
        runner: `pytest`, `unittest`, `jest`, `go`, `cargo`, `maven`, or "" where the process ran other kinds of tests.
        exit_code: what pytest said at the end of its session, or the test process ended with.
        canary: how a test came out that must fail; `none` where it could not be tried.
        changed: functions of the runner that were replaced while it ran.
        tests: name and status in the order of their ends; a test may come twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: str
    exit_code: int | None
    canary: Literal["none", "failed", "passed"]
    changed: tuple[str, ...]
    tests: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Testimony:
    """What came back from all witnesses of one test command.

    Attributes:
        accounts: those with a good signature.
        taken: how many processes took a key.
        forged: a file was there that no witness signed.
        complete: every test that ran is in some account; else only what is there says something.
    """

    __test__ = False  # not a test class for pytest

    accounts: tuple[Account, ...]
    taken: int
    forged: bool = False
    complete: bool = True


class KeyedStand:
    """Witnesses that each take a key from the disk when they begin, and sign their account with it at the end.

    Args:
        keys: most witnesses of one run.
    """

    def __init__(self, keys: int) -> None:
        self.folder = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108  # inside the sandbox
        self._keys = [secrets.token_hex(32) for _ in range(keys)]

    def lay_keys(self, sandbox: Sandbox) -> None:
        """Write the keys into the folder."""
        for number, key in enumerate(self._keys):
            sandbox.write(f"{self.folder}/key-{number}", key.encode())

    def hear(self, sandbox: Sandbox) -> Testimony | None:
        """Read the accounts, and check that the witnesses themselves wrote them; see `Stand.hear`."""
        return self.heard(sandbox)

    def heard(self, sandbox: Sandbox) -> Testimony:
        """Return the accounts as they are, if there is none too."""
        accounts: list[Account] = []
        taken, forged = 0, False
        for number, key in enumerate(self._keys):
            taken += _read(sandbox, f"{self.folder}/key-{number}") != key.encode()
            signed = _read(sandbox, f"{self.folder}/account-{number}")
            account = _checked(signed, key) if signed is not None else None
            forged |= signed is not None and account is None
            if account is not None:
                accounts.append(account)
        return Testimony(tuple(accounts), taken, forged)


class PythonStand(KeyedStand):
    """A module that Python imports before anything of the project.

    Args:
        command: the test command; each runner that it starts gets a key.
    """

    def __init__(self, command: str) -> None:
        super().__init__(max(1, len(_RUNNERS.findall(command))))
        self._module = f"_{secrets.token_hex(8)}"

    def prepare(self, sandbox: Sandbox) -> str:
        """See `Stand.prepare`."""
        source = files("ostro.benchmarks").joinpath("witness.py").read_bytes()
        sandbox.write(f"{self.folder}/{self._module}.py", source)
        hook = f"import {self._module}\n{self._module}.start({self.folder!r})\n"
        sandbox.write(f"{self.folder}/sitecustomize.py", hook.encode())
        self.lay_keys(sandbox)
        return f"export PYTHONPATH={shlex.quote(self.folder)}${{PYTHONPATH:+:$PYTHONPATH}}\n"


def statuses_of(accounts: tuple[Account, ...], parser_name: str) -> dict[str, set[TestStatus | None]]:
    """Return the statuses by the names that the log's parser gives: a name may stand for several tests.

    A test that passed against expectation has the status None. The parser itself is asked how a name is written, so
    that its shortenings hold for both accounts.
    """
    from ostro.benchmarks.parsers import PARSERS

    found: dict[str, set[TestStatus | None]] = {}
    for account in accounts:
        for name, word in account.tests:
            plain = name.replace("\0", "\n")
            line = _LINES.get(account.runner, "").format(plain)
            status = TestStatus(word) if word in tuple(TestStatus) else None
            for key in PARSERS[parser_name](line) if line else (plain,):
                found.setdefault(key, set()).add(status)
    return found


_LINES = {"pytest": "PASSED {}", "unittest": "{} ... ok"}
"""How a runner writes a test in its log, where the parser shortens names; others are told by their names in the log."""


def _read(sandbox: Sandbox, path: str) -> bytes | None:
    try:
        return sandbox.read(path, max_bytes=MAX_ACCOUNT_BYTES)
    except (OSError, ValueError):
        return None


def _checked(signed: bytes, key: str) -> Account | None:
    signature, _, body = signed.partition(b"\n")
    expected = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, expected.encode()):
        return None
    try:
        return Account.model_validate(json.loads(body))
    except (ValueError, ValidationError):
        return None
