"""Run a shell command in the sandbox, in the foreground or in the background.

Directory and exported variables persist from call to call (the sandbox's shell does that), also after a time-out.
Background jobs are listed with `jobs` and ended with `kill job-1`, as in a shell; the model is told when one ends.
"""

from __future__ import annotations

import re

from pydantic import Field, JsonValue

from ostro.sandbox.protocol import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, Job
from ostro.tools.display import show_output, status_line
from ostro.tools.protocol import AnyTool, Observation, Tool, ToolArgs, ToolContext

MIN_TIMEOUT_S = 1.0

_JOBS = re.compile(r"\s*jobs(?:\s+-[lpr]+)?\s*;?\s*")
_KILL = re.compile(r"\s*kill(?:\s+-\w+)?((?:\s+%?job-\d+)+)\s*;?\s*")
# A pipeline of programs that only read: no redirection, substitution or list, so no checkpoint is due after it.
_READERS = r"(?:cat|head|tail|ls|grep|rg|wc|pwd|echo|file|stat|diff|cut|nl|which|du)"
_READ_ONLY = re.compile(rf"\s*{_READERS}(?:\s[^;&|<>`$()\n]*)?(?:\|\s*{_READERS}(?:\s[^;&|<>`$()\n]*)?)*")


class BashArgs(ToolArgs):
    """Arguments of `bash`."""

    command: str = Field(min_length=1)
    timeout: float | None = Field(default=None, gt=0, description="Seconds.")
    background: bool = Field(default=False, description="Return at once.")


def run_bash(args: BashArgs, context: ToolContext) -> Observation:
    """Run the command and show the beginning and the end of its output, with the exit code.

    Raises:
        SandboxError: the sandbox is gone; a failing command is an Observation.
    """
    problem = _not_runnable(args.command)
    if problem:
        return Observation(text=problem, ok=False)
    if _JOBS.fullmatch(args.command):
        return _list_jobs(context)
    if killed := _KILL.fullmatch(args.command):
        return _kill_jobs([name.lstrip("%") for name in killed[1].split()], context)
    if args.background:
        return _start(args.command, context)
    return _run(args, context)


def _not_runnable(command: str) -> str:
    if "\0" in command:
        return "Not run: the command holds a NUL character, which no shell can take."
    return "" if command.strip() else "Not run: the command is empty."


def _run(args: BashArgs, context: ToolContext) -> Observation:
    wanted = context.command_timeout_s if args.timeout is None else args.timeout
    timeout_s = max(MIN_TIMEOUT_S, min(wanted, MAX_TIMEOUT_S))
    done = context.sandbox.run(args.command, timeout_s=timeout_s)
    shown = show_output(done.output, context)
    status = status_line(done, workdir=context.sandbox.workdir, timeout_s=timeout_s)
    return Observation(
        text="\n".join([shown.text, status, *_ended_jobs(context)]),
        ok=done.exit_code == 0 and not done.timed_out,
        mutated=_READ_ONLY.fullmatch(args.command) is None,
        data={
            "exit_code": done.exit_code,
            "duration_s": round(done.duration_s, 3),
            "timed_out": done.timed_out,
            "oom": done.oom,
            "leftovers": done.leftovers,
            "output_bytes": done.output.total_bytes,
            "cwd": done.cwd,
            "saved": shown.saved,
        },
        full_output=shown.full,
    )


def _start(command: str, context: ToolContext) -> Observation:
    job = context.sandbox.start(command)
    context.state.background.append(job.id)
    return Observation(
        text=(
            f"Started {job.id} in the background. Its output goes to {job.log}: look with `tail -n 40 {job.log}`. "
            f"End it with `kill {job.id}`, list all with `jobs`. You are told when it ends."
        ),
        mutated=True,
        data={"job": job.id, "log": job.log},
    )


def _list_jobs(context: ToolContext) -> Observation:
    jobs = context.sandbox.jobs()
    context.state.background = [job.id for job in jobs if job.exit_code is None]
    lines = [f"{job.id}: {_state(job)}; log {job.log}; {job.command}" for job in jobs]
    return Observation(text="\n".join(lines) or "There are no background jobs.")


def _kill_jobs(ids: list[str], context: ToolContext) -> Observation:
    known = {job.id for job in context.sandbox.jobs()}
    lines: list[str] = []
    for job_id in ids:
        if job_id not in known:
            lines.append(f"There is no {job_id}; known: {', '.join(sorted(known)) or 'none'}.")
            continue
        context.sandbox.stop(job_id)
        context.state.background = [name for name in context.state.background if name != job_id]
        lines.append(f"{job_id} was ended.")
    return Observation(text="\n".join(lines), ok=all(job_id in known for job_id in ids), mutated=True)


def _ended_jobs(context: ToolContext) -> list[str]:
    """Return one line for each job that ended since the model was last told."""
    waiting = context.state.background
    if not waiting:
        return []
    ended = [job for job in context.sandbox.jobs() if job.id in waiting and job.exit_code is not None]
    gone = {job.id for job in ended}
    context.state.background = [job_id for job_id in waiting if job_id not in gone]
    return [f"[{job.id} {_state(job)}; log {job.log}]" for job in ended]


def _state(job: Job) -> str:
    return "running" if job.exit_code is None else f"ended with exit code {job.exit_code}"


def bash_tool(default_timeout_s: float = DEFAULT_TIMEOUT_S) -> AnyTool:
    """Return the tool with the default limit of a command, in seconds, in its description."""
    values: dict[str, JsonValue] = {"default_timeout_s": round(default_timeout_s)}
    return Tool(name="bash", args=BashArgs, run=run_bash, description_values=values)
