"""The host's side of the witness (benchmarks/witness.py): send it in, and read what it signed.

Its folder, its module's name and its keys are new for every run, so nothing that a patch holds can know them.
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
        runner: `pytest`, `unittest`, or "" where the process ran another kind of tests.
        exit_code: what pytest said at the end of its session.
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
    """

    __test__ = False  # not a test class for pytest

    accounts: tuple[Account, ...]
    taken: int
    forged: bool = False


class WitnessStand:
    """One run's witnesses. `prepare` before the tests, `hear` after them.

    Args:
        command: the test command; each runner that it starts gets a key.
    """

    def __init__(self, command: str) -> None:
        self.folder = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108  # inside the sandbox
        self._module = f"_{secrets.token_hex(8)}"
        self._keys = [secrets.token_hex(32) for _ in range(max(1, len(_RUNNERS.findall(command))))]

    def prepare(self, sandbox: Sandbox) -> str:
        """Write the witness and its keys; return the shell text that goes before the test command."""
        source = files("ostro.benchmarks").joinpath("witness.py").read_bytes()
        sandbox.write(f"{self.folder}/{self._module}.py", source)
        hook = f"import {self._module}\n{self._module}.start({self.folder!r})\n"
        sandbox.write(f"{self.folder}/sitecustomize.py", hook.encode())
        for number, key in enumerate(self._keys):
            sandbox.write(f"{self.folder}/key-{number}", key.encode())
        return f"export PYTHONPATH={shlex.quote(self.folder)}${{PYTHONPATH:+:$PYTHONPATH}}\n"

    def hear(self, sandbox: Sandbox) -> Testimony:
        """Read the accounts, and check that the witnesses themselves wrote them."""
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


def statuses_of(accounts: tuple[Account, ...], parser_name: str) -> dict[str, set[TestStatus | None]]:
    """Return the statuses by the names that the log's parser gives: a name may stand for several tests.

    A test that passed against expectation has the status None. The parser itself is asked how a name is written, so
    that its shortenings hold for both accounts.
    """
    from ostro.benchmarks.parsers import PARSERS

    found: dict[str, set[TestStatus | None]] = {}
    parse = PARSERS[parser_name]
    for account in accounts:
        for name, word in account.tests:
            plain = name.replace("\0", "\n")
            line = f"{plain} ... ok" if account.runner == "unittest" else f"PASSED {plain}"
            status = TestStatus(word) if word in tuple(TestStatus) else None
            for key in parse(line):
                found.setdefault(key, set()).add(status)
    return found


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
