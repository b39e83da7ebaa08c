"""Read the names and the few telling files of a base commit on the host, for detection and for cache keys."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ostro.sandbox.detect import MAX_FILE_BYTES, Tree, is_read
from ostro.sandbox.git_process import must, run_git

_MOST_FILES = 200
"""More files than this are not read: a repository of requirement files is not one project."""


@dataclass(frozen=True)
class BaseFiles:
    """One commit as detection sees it.

    Attributes:
        blobs: object id of every path.
    """

    tree: Tree
    blobs: Mapping[str, str]


@functools.lru_cache(maxsize=4)
def read_base(git_dir: Path, commit: str) -> BaseFiles:
    """Read a bare repository that the host made itself (sandbox/host_git.prepare_base).

    The last ones are remembered: a run asks four times, and what a commit holds does not change.

    Raises:
        RepositoryError: git cannot read it.
    """
    doing = "reading the base commit"
    listing = must(run_git(["ls-tree", "-r", "-l", "-z", "--full-tree", commit], git_dir=git_dir), doing=doing).stdout
    blobs: dict[str, str] = {}
    wanted: list[str] = []
    for line in listing.decode("utf-8", "surrogateescape").split("\0"):
        about, _, name = line.partition("\t")
        fields = about.split()
        if len(fields) != 4:
            continue
        _, kind, oid, size = fields
        blobs[name] = oid
        if kind == "blob" and is_read(name) and int(size) <= MAX_FILE_BYTES:
            wanted.append(name)
    text = _contents(git_dir, {name: blobs[name] for name in wanted[:_MOST_FILES]})
    return BaseFiles(Tree(frozenset(blobs), text), blobs)


def _contents(git_dir: Path, oids: Mapping[str, str]) -> dict[str, str]:
    """Read blobs through one `git cat-file --batch`: a header line `oid type size`, the bytes, a newline."""
    asked = "".join(f"{oid}\n" for oid in oids.values()).encode()
    rest = must(run_git(["cat-file", "--batch"], git_dir=git_dir, stdin=asked), doing="reading the base commit").stdout
    text: dict[str, str] = {}
    for name in oids:
        header, _, rest = rest.partition(b"\n")
        size = int(header.split()[2])
        text[name] = rest[:size].decode("utf-8", "replace")
        rest = rest[size + 1 :]
    return text
