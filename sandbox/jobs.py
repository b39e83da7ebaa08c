"""Background jobs of a sandbox: what the host remembers of them, and their exit codes from inside."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ostro.sandbox.exchange import KILLED
from ostro.sandbox.protocol import Completed, Job
from ostro.sandbox.shell import Request

PROBE_S = 20.0

Run = Callable[[Request], Completed]


@dataclass(frozen=True)
class _Entry:
    job: Job
    number: int
    leader: int


class JobBook:
    """The jobs that were started, by id. sandbox/job.sh leaves an exit code in a file when a job ends."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def next_number(self) -> int:
        """Return the number of the next job."""
        return len(self._entries) + 1

    def add(self, number: int, leader: int, command: str, log: str) -> Job:
        """Remember a job that was started; `leader` is its first process inside."""
        job = Job(id=f"job-{number}", command=command, log=log)
        self._entries[job.id] = _Entry(job, number, leader)
        return job

    def remember(self, jobs: Iterable[Job]) -> None:
        """Take up jobs that an ended process started, oldest first: they were killed with it."""
        for job in jobs:
            self.add(self.next_number(), 0, job.command, job.log)
            self.ended(job.id, KILLED)

    def ended(self, job_id: str, exit_code: int) -> None:
        """Remember that a job ended."""
        entry = self._entries[job_id]
        self._entries[job_id] = replace(entry, job=replace(entry.job, exit_code=exit_code))

    def all_killed(self) -> None:
        """Remember that everything inside was killed."""
        for entry in self._running():
            self.ended(entry.job.id, KILLED)

    def listing(self, run: Run, state_dir: str) -> list[Job]:
        """Return all jobs, after a look inside for those that ran at the last look."""
        self._refresh(run, state_dir)
        return [entry.job for entry in self._entries.values()]

    def running_leader(self, run: Run, state_dir: str, job_id: str) -> int | None:
        """Return the first process of a job that runs; None when it ended or is unknown."""
        if job_id not in self._entries:
            return None
        self._refresh(run, state_dir)
        entry = self._entries[job_id]
        return entry.leader if entry.job.exit_code is None else None

    def _running(self) -> list[_Entry]:
        return [entry for entry in self._entries.values() if entry.job.exit_code is None]

    def _refresh(self, run: Run, state_dir: str) -> None:
        """Ask for `number exit-code` of each running job; 137 where the leader is gone without having left one."""
        running = self._running()
        if not running:
            return
        pairs = " ".join(f"{entry.number}:{entry.leader}" for entry in running)
        text = (
            f"cd {shlex.quote(state_dir)} || exit; for p in {pairs}; do n=${{p%:*}} c=; "
            '[ -s "job-$n.exit" ] && IFS= read -r c <"job-$n.exit"; '
            'if [ -z "$c" ]; then s=; IFS= read -r s <"/proc/${p#*:}/stat"; '
            'case $s in ""|*") Z "*) [ -s "job-$n.exit" ] && IFS= read -r c <"job-$n.exit"; '
            f"c=${{c:-{KILLED}}};; esac; "
            'fi 2>/dev/null; [ -n "$c" ] && echo "$n $c"; done'
        )
        done = run(Request(text, PROBE_S, keep_state=False, load_state=False))
        for line in done.output.text().splitlines():
            number, _, code = line.partition(" ")
            if number.isdigit() and code.isdigit():
                self.ended(f"job-{number}", int(code))
