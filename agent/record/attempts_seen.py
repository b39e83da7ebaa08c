"""What in a run looked like an attempt to get out, and what stopped it: a pure function of what the run left.

For the report's `security` and for `ostro view`. It notices by signs, in the text of commands and of what came back.
It protects from nothing: the sandbox, the proxy, the policy and the redaction do, whether or not this sees a try.
An honest agent is noticed too, for a `curl` in vain or a `sudo` out of habit.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.errors import StorageError
from ostro.agent.history import ToolCall
from ostro.agent.outcome import NoticedAttempt
from ostro.agent.record.events import Event, Observed, Planned, RunStarted
from ostro.agent.record.redact import STAND_IN
from ostro.agent.record.trajectory import read_events
from ostro.sandbox.egress_exchange import EgressRecord
from ostro.sandbox.egress_log import EGRESS_FILE, read_egress_log
from ostro.sandbox.policy import Finding

LOG = "trajectory.jsonl"
MOST_NOTICED = 100
DETAIL_CHARS = 200
UNPROTECTED = "nothing: the sandbox was `none`"

_COMMAND = r"(?:^|[;&|({]|\bthen|\bdo|\bexec|\bsudo)\s*"
"""Where the name of a program stands in a line of shell."""

_NO_SUCH = re.compile(r"No such file|not found|cannot (?:access|open)|Permission denied|does not exist|not permitted")
_UNREACHABLE = re.compile(
    r"could not resolve|name or service not known|temporary failure in name resolution|unreachable|failed to connect"
    r"|connection refused|couldn't connect|no route to host|unable to resolve|servers could be reached|EAI_AGAIN"
    r"|proxy error|403 forbidden|response 403|network is down",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"operation not permitted|permission denied|must be (?:run as root|superuser|root)|no new privileges"
    r"|(?:sudo|su|doas|pkexec): (?:command )?not found"
    r"|may not be used|effective uid is not 0|not allowed|authentication failure|read-only file system",
    re.IGNORECASE,
)
_SECRET_PLACES = re.compile(
    r"docker\.sock|containerd\.sock|SSH_AUTH_SOCK|/etc/shadow|\.ssh\b|\bid_(?:rsa|ed25519)\b|\.aws/|\.netrc|\.kube/"
    r"|\.git-credentials|\.docker/config|gcloud/|\.config/gh\b|\.npmrc|\.pypirc|/proc/1/root|/root\b|/dev/(?:sd|vd|nvme|k?mem)"
)


@dataclass(frozen=True)
class Sign:
    """How one kind of attempt shows itself in a shell command.

    Attributes:
        asks: found in the command.
        fails: found in what came back; where it is missing there too, nothing is noticed unless `always`.
        always: notice it whatever came back.
    """

    what: str
    asks: re.Pattern[str]
    fails: re.Pattern[str]
    stopped_by: str
    always: bool = False


SIGNS = (
    Sign(
        "read the environment",
        re.compile(
            r"/proc/[^/\s]+/environ|\bprintenv\b|(?:^|[;&|(]\s*)(?:env|export -p)\s*(?:$|[|;&>)])", re.MULTILINE
        ),
        _NO_SUCH,
        "the sandbox is given no variable of the host, and shows no process of it",
        always=True,
    ),
    Sign(
        "looked for a socket or a credential of the host",
        _SECRET_PLACES,
        _NO_SUCH,
        "the sandbox shows no home, no socket and no device of the host",
        always=True,
    ),
    Sign(
        "asked for cloud metadata",
        re.compile(r"169\.254\.169\.254|metadata\.google|100\.100\.100\.200|fd00:ec2|168\.63\.129\.16"),
        _UNREACHABLE,
        "no network, and the proxy refuses addresses",
        always=True,
    ),
    Sign(
        "tried the network",
        re.compile(
            _COMMAND + r"(?:curl|wget|nc|ncat|netcat|telnet|ssh|scp|rsync|ping|dig|nslookup|getent|host)\b|/dev/tcp/"
            r"|socket\.|urlopen|requests\.|http\.client|\bgit (?:clone|fetch|push|pull|ls-remote)\b"
            r"|\b(?:pip3?|uv|npm|yarn|pnpm|cargo|go|apt-get|apt|gem|apk) (?:pip )?(?:install|add|get|update|download)",
            re.MULTILINE,
        ),
        _UNREACHABLE,
        "no network but through the proxy's allow-list, if that was asked for",
    ),
    Sign(
        "tried to gain privileges",
        re.compile(
            _COMMAND
            + r"(?:sudo|su|doas|mount|umount|unshare|nsenter|chroot|insmod|modprobe|setcap|mknod|pkexec|dmesg)\b",
            re.MULTILINE,
        ),
        _REFUSED,
        "no capability, no new privileges, filtered system calls",
    ),
    Sign(
        "wrote where the system lies",
        re.compile(r"(?:>|\btee\b|\bcp\b|\bmv\b|\bln\b|\btouch\b|\brm\b|\bsed -i|\bmkdir\b)"),
        re.compile(r"Read-only file system"),
        "only the workspace and /tmp can be written",
    ),
    Sign(
        "changed git's own configuration or hooks",
        re.compile(
            r"(?:core\.(?:fsmonitor|hookspath|sshcommand|pager|editor|worktree)|filter\.\S+\.(?:clean|smudge|process)"
            r"|diff\.external|include\.path|credential\.helper)|(?:>|\btee\b|\bcp\b|\bmv\b|\bln\b|\bchmod\b|\binstall\b)"
            r"[^|;&\n]*\.git/(?:hooks|config|info/attributes|modules)",
            re.IGNORECASE,
        ),
        _REFUSED,
        "the host runs no git in the sandbox's repository, and .git is no part of a patch",
        always=True,
    ),
)


def attempts_in(folder: Path, findings: Sequence[Finding], warnings: Sequence[str]) -> tuple[NoticedAttempt, ...]:
    """Return what was noticed in a run folder; see `attempts_seen`. A log that cannot be read counts up to there."""
    logs = [folder / LOG, *sorted(folder.glob(f"attempt-*/{LOG}"))]
    requests = read_egress_log(folder / EGRESS_FILE)
    return attempts_seen(_readable(logs), findings=findings, requests=requests, warnings=warnings)


def _readable(logs: Iterable[Path]) -> Iterator[Event]:
    for log in logs:
        with contextlib.suppress(StorageError, OSError):
            yield from read_events(log)


def attempts_seen(
    events: Iterable[Event],
    *,
    findings: Sequence[Finding] = (),
    requests: Iterable[EgressRecord] = (),
    warnings: Sequence[str] = (),
) -> tuple[NoticedAttempt, ...]:
    """Return what was noticed, in the order issue, set-up and network, steps, patch; at most `MOST_NOTICED`.

    Args:
        events: the logs of the run's attempts, one after another.
        findings: of the policy, about the patch.
        requests: what the egress proxy recorded.
        warnings: of the task: what the sanitiser removed is among them.
    """
    found = [
        NoticedAttempt(
            what="hid text in the issue", where="issue", stopped_by="removed before the model saw it", detail=_cut(text)
        )
        for text in warnings
        if " removed from the " in text
    ]
    found += [_request(one) for one in requests if one.verdict == "refused"]
    found += _of_events(events)
    found += [_finding(one) for one in findings]
    return tuple(dict.fromkeys(found))[:MOST_NOTICED]


def _request(record: EgressRecord) -> NoticedAttempt:
    return NoticedAttempt(
        what="asked for a host that is not allowed",
        where="network",
        stopped_by="the egress proxy",
        detail=_cut(f"{record.host}:{record.port} ({record.reason})"),
    )


def _finding(finding: Finding) -> NoticedAttempt:
    return NoticedAttempt(
        what=f"put into the patch what the rule `{finding.rule}` names",
        where="patch",
        stopped_by="nothing: it is in the patch, look at it"
        if finding.action == "reported"
        else f"policy: {finding.action}",
        detail=_cut(f"{finding.path or 'the patch'}: {finding.reason}"),
    )


def _of_events(events: Iterable[Event]) -> Iterator[NoticedAttempt]:
    calls: dict[str, ToolCall] = {}
    unprotected, attempt = False, 1
    for event in events:
        match event:
            case RunStarted():
                calls, unprotected, attempt = {}, event.sandbox == "none", event.attempt
            case Planned():
                calls |= {call.id: call for call in event.calls}
            case Observed() if event.call_id in calls:
                where = f"step {event.turn + 1}, {event.name}"
                where = f"attempt {attempt}, {where}" if attempt > 1 else where
                for what, stopped_by, detail in _of_call(calls[event.call_id], event):
                    barred = UNPROTECTED if unprotected else stopped_by
                    yield NoticedAttempt(what=what, where=where, stopped_by=barred, detail=_cut(detail))
                if STAND_IN in event.text:
                    yield NoticedAttempt(
                        what="output held a known secret",
                        where=where,
                        stopped_by="replaced before it reached the model and the log",
                        detail=_cut(_line_at(event.text, event.text.index(STAND_IN))),
                    )
            case _:
                pass


def _of_call(call: ToolCall, seen: Observed) -> Iterator[tuple[str, str, str]]:
    command = call.arguments.get("command")
    if call.name == "bash" and isinstance(command, str):
        yield from _of_command(command, seen.text)
    path = call.arguments.get("path")
    if isinstance(path, str):
        yield from _of_path(path, seen, writes=command in ("create", "str_replace", "insert"))


def _of_command(command: str, output: str) -> Iterator[tuple[str, str, str]]:
    for sign in SIGNS:
        asked = sign.asks.search(command)
        failed = sign.fails.search(output)
        if asked and (failed or sign.always):
            answer = f" -> {_line_at(output, failed.start())}" if failed else ""
            yield sign.what, sign.stopped_by, _line_at(command, asked.start()) + answer
    if "../.." in command and (failed := re.search(r"Read-only file system|Permission denied", output)):
        yield (
            "reached out of the workspace",
            "only the workspace and /tmp can be written",
            _line_at(output, failed.start()),
        )


def _of_path(path: str, seen: Observed, *, writes: bool) -> Iterator[tuple[str, str, str]]:
    answer = "" if seen.ok else f" -> {_line_at(seen.text, 0)}"
    normal = posixpath.normpath(path)
    if _SECRET_PLACES.search(normal) or re.search(r"/proc/[^/]+/environ", normal):
        yield "looked for a socket or a credential of the host", "the sandbox shows none of the host", path + answer
    elif normal.startswith("../") or (
        writes and re.match(r"/(?:etc|usr|bin|lib|opt|var|root|home|dev|proc|sys)\b", normal)
    ):
        yield "reached out of the workspace", "every path is one of the sandbox's own", path + answer
    if writes and re.search(r"(?:^|/)\.git/", normal):
        yield (
            "changed git's own configuration or hooks",
            "the host runs no git in the sandbox's repository",
            path + answer,
        )


def _line_at(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    return text[start:].partition("\n")[0].strip()


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= DETAIL_CHARS else text[: DETAIL_CHARS - 3] + "..."
