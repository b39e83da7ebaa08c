"""The tested-patch contract: the host runs the test command on the base and on the final patch, in fresh sandboxes.

The run on the base goes on in a thread while the agent works; nothing that the agent did can reach either.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ostro.agent.errors import StorageError
from ostro.agent.outcome import Status, TestRun
from ostro.agent.trouble import typed_trouble
from ostro.sandbox.protocol import Completed, Sandbox, SandboxError

TEST_TIMEOUT_S = 1800.0
SUMMARY_CHARS = 200
PATCH_PATH = "/tmp/ostro-verify.patch"  # noqa: S108  # inside the sandbox, which is ours alone

OpenSandbox = Callable[[str], Sandbox]
"""Opens a fresh sandbox of the task's environment; the argument tells sandboxes of one run apart."""


_MACHINERY = re.compile(
    r"(?:.*/)?(?:conftest\.py|\.?pytest\.ini|tox\.ini|setup\.cfg|pyproject\.toml|noxfile\.py|(?:site|user)customize\.py"
    r"|[^/]*\.pth|package\.json|(?:jest|vitest|karma|ava)\.conf[^/]*|\.mocharc[^/]*|(?:GNU)?[Mm]akefile|\.coveragerc)"
    r"|(?:_?pytest|pluggy|unittest|nose|xdist)(?:\.py|/.*)"
)
"""Paths that decide how tests run: settings of runners, what Python loads unasked, modules in a runner's place."""

_SECTION = re.compile(rb"^(?=diff --git )", re.MULTILINE)
_HEADER = re.compile(rb'diff --git (?:"?a/.*) "?b/(.*?)"?\n')


def run_tests(open_sandbox: OpenSandbox, command: str, patch: bytes, *, label: str) -> TestRun:
    """Apply `patch` to a fresh workspace and run the test command there.

    Where the patch touches what decides how tests run and they are green, they are run again without that part, and
    are red when they need it: they would be judged by what they judge.
    """
    whole = _run_fresh(open_sandbox, command, patch, label=label)
    rest, machinery = machinery_in(patch)
    if whole.status != "green" or not machinery:
        return whole
    plain = _run_fresh(open_sandbox, command, rest, label=f"{label}-plain")
    if plain.status == "green":
        return whole
    changed = ", ".join(machinery)
    summary = f"green only with the patch's own {changed}: {plain.status} without ({plain.summary})"
    return plain.model_copy(update={"summary": summary[:SUMMARY_CHARS]})


def machinery_in(patch: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a git patch without the files that decide how tests run, and the paths of those files."""
    kept: list[bytes] = []
    names: list[str] = []
    for section in _SECTION.split(patch):
        header = _HEADER.match(section)
        name = header[1].decode("utf-8", "replace") if header else ""
        if _MACHINERY.fullmatch(name):
            names.append(name)
        else:
            kept.append(section)
    return b"".join(kept), tuple(names)


def _run_fresh(open_sandbox: OpenSandbox, command: str, patch: bytes, *, label: str) -> TestRun:
    try:
        with typed_trouble(), open_sandbox(label) as sandbox:
            return _run_in(sandbox, command, patch)
    except (SandboxError, StorageError) as error:
        return TestRun(status="error", summary=str(error))


def _run_in(sandbox: Sandbox, command: str, patch: bytes) -> TestRun:
    if patch:
        sandbox.write(PATCH_PATH, patch)
        tool = "git apply --binary --whitespace=nowarn" if sandbox.has("git") else "patch -p1 -s -i"
        applied = sandbox.run(f"{tool} {PATCH_PATH} && rm -f {PATCH_PATH}", keep_state=False)
        if applied.exit_code != 0:
            return TestRun(status="error", summary=f"the patch does not apply: {applied.output.text()[-500:]}")
    done = sandbox.run(command, timeout_s=TEST_TIMEOUT_S, keep_state=False)
    return TestRun(
        status=_status(done),
        exit_code=done.exit_code,
        duration_s=round(done.duration_s, 3),
        summary=_verdict_line(done.output.text()),
    )


def _status(done: Completed) -> Status:
    if done.timed_out:
        return "timeout"
    if done.exit_code in (126, 127):
        return "error"
    return "green" if done.exit_code == 0 else "red"


def _verdict_line(text: str) -> str:
    """Return the last line that says something: where every common runner puts its count."""
    lines = [line.strip(" \t=-") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")[:SUMMARY_CHARS]


@dataclass
class BaseTests:
    """The test run on the base, in the background from `start` to `result`.

    Attributes:
        known: what it gave in an earlier process; it is not run again then.
    """

    open_sandbox: OpenSandbox
    command: str
    known: TestRun | None = None
    _result: TestRun = field(default_factory=lambda: TestRun(status="not_run"))
    _thread: threading.Thread | None = None
    _sandbox: Sandbox | None = None
    _abandoned: bool = False

    def start(self) -> None:
        """Begin, unless there is no command, or nothing to find out."""
        if self.known is not None:
            self._result = self.known
        elif self.command:
            self._thread = threading.Thread(target=self._work, name="ostro-base-tests", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        self._result = run_tests(self._open, self.command, b"", label="base")

    def _open(self, label: str) -> Sandbox:
        self._sandbox = self.open_sandbox(label)
        if self._abandoned:
            self._sandbox.cancel()
        return self._sandbox

    def abandon(self) -> None:
        """End the run early, if it has not ended: nothing will be compared with it."""
        self._abandoned = True
        if self._sandbox is not None:
            self._sandbox.cancel()
        self.result()

    def result(self) -> TestRun:
        """Wait for the run and return it; `not_run` when there was none."""
        if self._thread is not None:
            self._thread.join()
        return self._result
