"""Whether everything that was seen of a test run tells the same story as its log. Pure.

The log alone can be forged by any line that the patched code prints. Beside it stand the exit code, which the sandbox
reports, and the account of a witness in the test process (benchmarks/witness.py). A resolved verdict that they do not
bear out is `inconsistent`; one whose patch touches how tests run is `suspect`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ostro.benchmarks.parsers import PYTEST_FAMILY, UNITTEST_FAMILY
from ostro.benchmarks.results import Consistency, Witness
from ostro.benchmarks.statuses import FAILING, PASSING, Statuses, TestStatus
from ostro.benchmarks.testimony import Account, Testimony, statuses_of
from ostro.benchmarks.verdict import Reading, status_of

BY_NAME = PYTEST_FAMILY | UNITTEST_FAMILY | {"jest", "cargo", "maven"}
"""Parsers of runners whose witnesses name their tests; those of others tell only that a process came to its end."""

STRICT = frozenset({"gotest", "cargo", "node", "tap", "jest", "vitest", "jest_json"})
"""Parsers whose lines are so particular that a failure among them is one, whatever test it names."""

MAX_NAMED = 3

Witnessed = dict[str, set[TestStatus | None]]


@dataclass(frozen=True)
class Seen:
    """All that grading saw of one test run.

    Attributes:
        reading: what the log says.
        parser: who read it.
        exit_code: of the test command.
        testimony: what the witnesses saw; None where none can be there.
        restored: test infrastructure that the patch touched.
        suspicions: what its added lines look like.
        rewritten: files of the tests that changed while they ran.
        failure_is_expected: the files of the tests say that some are expected to fail.
    """

    reading: Reading
    parser: str
    exit_code: int
    testimony: Testimony | None
    restored: Sequence[str] = ()
    suspicions: Sequence[str] = ()
    rewritten: Sequence[str] = ()
    failure_is_expected: bool = True


def check(seen: Seen) -> tuple[Consistency, tuple[str, ...]]:
    """Return how the run's accounts fit together, and why, one line each."""
    against = (*_exit_code(seen), *_skips(seen), *_expected_failures(seen), *_rewritten(seen), *_witnessed(seen))
    touched = (*(f"{path} decides how tests run; it was put back" for path in seen.restored), *seen.suspicions)
    if against:
        return "inconsistent", (*against, *touched)
    return ("suspect", touched) if touched else ("consistent", ())


def _exit_code(seen: Seen) -> Iterator[str]:
    failed = [name for name, status in seen.reading.statuses.items() if status in FAILING]
    if seen.parser in STRICT:
        failing = failed
    else:  # a captured log line may look like a failure of something that is no test
        failing = [*seen.reading.fail_to_pass.failure, *seen.reading.pass_to_pass.failure]
        failing = [name for name in failing if status_of(name, seen.reading.statuses) in FAILING]
    if seen.exit_code == 0 and failing:
        yield f"exit code 0, but the log shows failures: {_some(failing)}"
    if seen.exit_code and not failed:
        yield f"exit code {seen.exit_code}, but the log shows no failure"


def _skips(seen: Seen) -> Iterator[str]:
    names = seen.reading.pass_to_pass.success
    skipped = [name for name in names if status_of(name, seen.reading.statuses) is TestStatus.SKIPPED]
    if skipped:
        yield f"tests that passed before are skipped: {_some(skipped)}"


def _expected_failures(seen: Seen) -> Iterator[str]:
    names = seen.reading.fail_to_pass.success
    failed = [name for name in names if status_of(name, seen.reading.statuses) is TestStatus.XFAIL]
    if failed and not seen.failure_is_expected:
        yield f"told as expected to fail, which no file of the tests says: {_some(failed)}"


def _rewritten(seen: Seen) -> Iterator[str]:
    if seen.rewritten:
        yield f"files of the tests were changed while they ran: {_some(seen.rewritten)}"


def _witnessed(seen: Seen) -> Iterator[str]:
    testimony = seen.testimony
    if testimony is None:
        return
    if testimony.forged:
        yield "the witness's account has a wrong signature"
    if not testimony.taken:
        yield "no witness came into the test process"
    elif len(testimony.accounts) < testimony.taken:
        yield "the test process ended before its witness could speak"
    for account in testimony.accounts:
        yield from _account(account, seen)
    if seen.parser in BY_NAME and testimony.accounts:
        yield from _differences(seen, testimony)


def _account(account: Account, seen: Seen) -> Iterator[str]:
    if account.canary == "passed":
        yield "a test that must fail is told as passed"
    if account.changed:
        yield f"the test runner was changed while it ran: {_some(account.changed)}"
    if account.exit_code and seen.exit_code == 0:
        yield f"{account.runner} ended with {account.exit_code}, its process with 0"


def _differences(seen: Seen, testimony: Testimony) -> Iterator[str]:
    witnessed = statuses_of(testimony.accounts, seen.parser)
    if testimony.complete:
        yield from _exit_codes(seen, witnessed)
    names = (*seen.reading.fail_to_pass.success, *seen.reading.pass_to_pass.success)
    told = _passing(names, seen.reading.statuses)
    unseen = [name for name in told if not _bears_out(name, witnessed, missing_counts=testimony.complete)]
    if unseen:
        yield f"told as passed, but the runner did not see it pass: {_some(unseen)}"


def _exit_codes(seen: Seen, witnessed: Witnessed) -> Iterator[str]:
    if seen.exit_code == 0 and (bad := [name for name, found in witnessed.items() if found & FAILING]):
        yield f"exit code 0, but the runner counted failures: {_some(bad)}"
    if seen.exit_code and witnessed and not any(found & FAILING for found in witnessed.values()):
        yield f"exit code {seen.exit_code}, but the runner counted no failure"


def _passing(names: Iterable[str], statuses: Statuses) -> list[str]:
    return [name for name in names if status_of(name, statuses) in PASSING]


def _bears_out(name: str, witnessed: Witnessed, *, missing_counts: bool) -> bool:
    """Whether a test of that name, or one that the name is the cut-off beginning of, was seen to pass."""
    if name in witnessed:
        return bool(witnessed[name] & PASSING)
    if not missing_counts:
        return True
    if name.count("[") <= name.count("]"):
        return False
    return any(found & PASSING for key, found in witnessed.items() if key.startswith(name))


def witness_of(testimony: Testimony | None, parser: str) -> Witness:
    """Say what stands beside the log and the exit code of a run."""
    if testimony is None or not testimony.accounts:
        return "none"
    return "tests" if parser in BY_NAME and any(one.tests for one in testimony.accounts) else "process"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
