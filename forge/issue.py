"""Read an issue from wherever the user has it: a file, standard input, a text, a URL or a number on GitHub.

cli/run -> read_issue -> to_task -> agent/session. Nothing here trusts what it reads; `to_task` sanitises it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from ostro.agent.errors import IssueError
from ostro.agent.history import Image
from ostro.agent.task import Task
from ostro.agent.untrusted import MAX_BYTES, sanitise
from ostro.forge.github import issue_ref
from ostro.forge.images import fetch_images, image_urls
from ostro.forge.protocol import Issue, IssueLimits
from ostro.forge.reader import fetch_issue

STDIN = "-"
TITLE_CHARS = 120
SEPARATOR = "\n\n---\n\n"
CUT = "\n[... cut: the issue and its comments are too long ...]"

_CONTROL = bytes(range(0x20)).translate(None, b"\t\n\r\f\x1b") + b"\x7f"
_BINARY_STARTS = (b"%PDF-", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"PK\x03\x04", b"\x1f\x8b", b"\x7fELF")


def read_issue(
    source: str,
    *,
    origin_url: str | None = None,
    stdin: IO[bytes] | None = None,
    limits: IssueLimits | None = None,
    env: Mapping[str, str] | None = None,
) -> Issue:
    """Read the issue that `source` names.

    Args:
        source: a file's path, `-` for standard input, the URL of an issue, `owner/name#7`, or a number.
        origin_url: URL of the repository's remote `origin`, for a bare number.
        stdin: where `-` reads from.
        limits: sizes and times.
        env: where the forge is and the token for it, see reader.py; the process's own by default.

    Raises:
        ForgeError: GitLab or Gitea refuses or does not answer.
        IssueError: missing, empty, too large, not text, private, or not to be fetched; with the mend.
    """
    limits, env = limits or IssueLimits(), os.environ if env is None else env
    private = frozenset[str]()
    ref = None if source == STDIN or _is_file(source) else issue_ref(source, origin_url=origin_url)
    if ref is not None:
        issue, private = fetch_issue(ref, env, limits)
    elif source != STDIN:
        issue = _of_bytes(_read_file(source, limits), source)
    elif stdin is not None:
        issue = _of_bytes(_read_stream(stdin, "standard input", limits), "stdin")
    else:
        raise IssueError("there is no standard input to read the issue from", mend="Give a file or a URL.")
    return with_pictures(issue, limits, private_hosts=private)


def issue_from_text(text: str, *, source: str = "--task") -> Issue:
    """Make an issue of a text: a heading or the first line is its title.

    Raises:
        IssueError: there is nothing in it.
    """
    lines = text.strip().splitlines()
    if not lines:
        raise IssueError(f"the issue from {source} is empty", mend="Describe what is wrong or wanted.")
    first, rest = lines[0].strip(), "\n".join(lines[1:]).strip("\n")
    heading = first.startswith("#") and first.lstrip("#").startswith(" ")
    title = first.lstrip("#").strip() if heading else first
    return Issue(title=title[:TITLE_CHARS], body=rest if heading and rest else text.strip("\n"), source=source)


def to_task(issue: Issue) -> Task:
    """Sanitise an issue into what a run works on; every removal is counted in the task's warnings."""
    title, body = sanitise(issue.title.replace("\n", " ")), sanitise(_with_comments(issue))
    told = [*issue.warnings, *title.notices("title"), *body.notices("issue")]
    return Task(
        title=title.text.strip()[:TITLE_CHARS] or "Untitled issue",
        text=body.text,
        source=issue.source,
        number=issue.number,
        url=issue.url,
        images=tuple(
            Image(
                media_type=image.media_type,
                data_base64=base64.b64encode(image.data).decode("ascii"),
                width=image.width,
                height=image.height,
            )
            for image in issue.images
        ),
        warnings=tuple(told),
    )


def _with_comments(issue: Issue) -> str:
    """Return body and comments as one text; where they are too long together, the longest are cut.

    A stranger writes the body, people who can write to the repository the comments: it must not push them out.
    """
    if not issue.comments:
        return issue.body
    parts = [issue.body]
    parts += [
        f"Comment by {comment.author} ({comment.association.lower()}):\n\n{comment.body}" for comment in issue.comments
    ]
    coded = [part.encode("utf-8", "replace") for part in parts if part.strip()]
    most = _fair_share([len(part) for part in coded], MAX_BYTES - len(SEPARATOR + CUT) * len(coded))
    return SEPARATOR.join(
        part.decode() if len(part) <= most else part[:most].decode("utf-8", "ignore") + CUT for part in coded
    )


def _fair_share(sizes: list[int], room: int) -> int:
    """Return the largest size that each may have so that all fit together."""
    left = room
    for index, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - index)
        if size > share:
            return share
        left -= size
    return room


def with_pictures(issue: Issue, limits: IssueLimits | None = None, *, private_hosts: frozenset[str]) -> Issue:
    """Return the issue with the pictures that its body shows.

    Args:
        issue: as it was read.
        limits: sizes and times.
        private_hosts: hosts that may lie in a private network.
    """
    limits = limits or IssueLimits()
    urls = image_urls(issue.body) if limits.images else ()
    if not urls:
        return issue
    images, told = fetch_images(urls, limits, private_hosts=private_hosts)
    return replace(issue, images=images, warnings=issue.warnings + told)


def _is_file(source: str) -> bool:
    try:
        return not source.isdecimal() and Path(source).is_file()
    except OSError:  # too long for a name: the next look says so
        return False


def _read_file(path: str, limits: IssueLimits) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            return _read_stream(stream, path, limits)
    except FileNotFoundError as error:
        mend = "Give an existing file, the URL of an issue, a number or -; a text goes with --task."
        raise IssueError(f"the issue file {path} does not exist", mend=mend) from error
    except IsADirectoryError as error:
        raise IssueError(f"{path} is a folder, not an issue file", mend="Give a file in it.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise IssueError(f"the issue file {path} cannot be read: {reason}", mend="Check its permissions.") from error


def _read_stream(stream: IO[bytes], name: str, limits: IssueLimits) -> bytes:
    data = stream.read(limits.file_bytes + 1)
    if len(data) > limits.file_bytes:
        raise IssueError(
            f"the issue in {name} is larger than the limit of {limits.file_bytes // 1024} KiB",
            mend="Cut it down to what describes the problem; 64 KB of it would be used.",
        )
    return data


def _of_bytes(data: bytes, source: str) -> Issue:
    text, warning = _decoded(data, source)
    issue = issue_from_text(text, source=source)
    return replace(issue, warnings=(warning,)) if warning else issue


def _decoded(data: bytes, source: str) -> tuple[str, str]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) and len(data) % 2 == 0:
        return data.decode("utf-16", "replace"), ""
    if b"\0" in data or data.startswith(_BINARY_STARTS):
        raise _binary(source)
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        if len(data.translate(None, _CONTROL)) < len(data):
            raise IssueError(
                f"the issue in {source} is binary, not text", mend="Give Markdown or plain text."
            ) from error
    return data.decode("latin-1"), f"The issue in {source} is not UTF-8; it was read as Latin-1."


def _binary(source: str) -> IssueError:
    return IssueError(f"the issue in {source} is binary, not text", mend="Give Markdown or plain text.")
