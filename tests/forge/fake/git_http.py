"""Serve bare repositories over git's smart HTTP, by git's own CGI program."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GitAnswer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def wants_to_write(path: str, query: str) -> bool:
    return path.endswith("/git-receive-pack") or "service=git-receive-pack" in query


def serve(root: Path, method: str, path: str, query: str, headers: dict[str, str], body: bytes, user: str) -> GitAnswer:
    """Answer one request for `/owner/name.git/...`."""
    variables = {
        "PATH": os.environ["PATH"],
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
    if user:
        variables["REMOTE_USER"] = user
    done = subprocess.run(["git", "http-backend"], env=variables, input=body, capture_output=True, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    told = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))]
    status = next((int(value.split()[0]) for name, value in told if name == "Status"), 200)
    return GitAnswer(status, [(name, value) for name, value in told if name != "Status"], content)
