"""One run of one contestant, and what it took: seen from outside, by the endpoint's clock and the kernel's account."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, fields
from pathlib import Path

from ostro.agent.errors import OstroError
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.benchmarks.speed.contestants import Contestant
from ostro.benchmarks.speed.task import make_repository, solved, turns

LIMIT_S = 300.0
TAIL_CHARS = 2000


class SpeedError(OstroError):
    """A contestant did not do the task, so that its time says nothing."""

    exit_code = 1


@dataclass(frozen=True)
class Measured:
    """What one run took.

    Attributes:
        total_s: from the start of the process to its end.
        first_request_s: from the start of the process to its first request.
        gap_ms: median of the times from the end of an answer to the next request: a command, and the agent around it.
        gap_p95_ms: what 95 of 100 of them stay below.
        exit_s: from the end of the last answer to the end of the process.
        cpu_s: processor time of the process and its children; what an engine does for it is not in it.
        peak_mb: most memory that one process of it held, 10^6 bytes.
        sent_kb: bodies of all requests, 10^3 bytes.
        connections: TCP connections to the endpoint.
    """

    total_s: float
    first_request_s: float
    gap_ms: float
    gap_p95_ms: float
    exit_s: float
    cpu_s: float
    peak_mb: float
    sent_kb: float
    connections: float


def measure(contestant: Contestant, folder: Path) -> Measured:
    """Let a contestant do the task once.

    Args:
        contestant: who.
        folder: an empty one, for the repository and what the contestant writes.

    Raises:
        SpeedError: it did not do the task.
    """
    repository = folder / "repository"
    make_repository(repository)
    with ScriptedEndpoint(turns(contestant.submit)) as endpoint:
        begun = time.monotonic()
        code, usage = _run(contestant, endpoint.url, folder)
        ended = time.monotonic()
        asked, answered = [one.received_at for one in endpoint.requests], endpoint.answered
    if len(asked) < 2 or not solved(repository, contestant.result(folder)):
        said = (folder / "stderr").read_text("utf-8", "replace").strip()[-TAIL_CHARS:]
        raise SpeedError(f"{contestant.name} did not do the task (exit code {code}): {said}")
    gaps = [1000 * (after - before) for before, after in zip(answered, asked[1:], strict=False)]
    return Measured(
        total_s=ended - begun,
        first_request_s=asked[0] - begun,
        gap_ms=statistics.median(gaps),
        gap_p95_ms=statistics.quantiles(gaps, n=20)[-1],
        exit_s=ended - answered[-1],
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss * 1024 / 1e6,
        sent_kb=sum(one.body_bytes for one in endpoint.requests) / 1e3,
        connections=endpoint.connections,
    )


def _run(contestant: Contestant, url: str, folder: Path) -> tuple[int, resource.struct_rusage]:
    """Run the command to its end; return its exit code, and what it and its children used."""
    start = contestant.start(url, folder / "repository", folder)
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        try:
            process = subprocess.Popen(
                start.argv, env=start.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        except OSError as error:
            raise SpeedError(f"{contestant.name} cannot be started: {start.argv[0]}: {error.strerror}") from error
    limit = threading.Timer(LIMIT_S, process.kill)
    limit.start()
    _, status, usage = os.wait4(process.pid, 0)
    limit.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def median(rounds: list[Measured]) -> Measured:
    """Return the median of each figure."""
    return Measured(*(statistics.median(getattr(one, field.name) for one in rounds) for field in fields(Measured)))
