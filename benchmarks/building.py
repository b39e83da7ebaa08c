"""Who may build an environment, and when: at most so many at once, none twice at the same time, none on a full disk.

One `BuildSite` serves all workers of a batch. Workers wait for what is built; how many of them there are says nothing
of how many builds the disk and the engine bear (`--jobs`). Where the disk is nearly full, images that this very run
pulled, and that no worker uses, are removed, the longest unused first; nothing else ever is.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ostro.benchmarks.recipe import has_room, require_room
from ostro.benchmarks.store import write_text

DEFAULT_JOBS = 2
"""Builds at once: each holds the processor and the disk, a run mostly waits for a model."""

PULLED = "images.json"


class Remover(Protocol):
    """What removes an image: the engine."""

    def remove_image(self, name: str) -> None:
        """Remove an image by its name; a missing one is fine."""
        ...


class PulledImage(BaseModel):
    """An image that this run pulled, and the one that was made of it.

    Attributes:
        made: name of the image with the history taken out, which shares the layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    made: str


@dataclass
class BuildSite:
    """The builds of one batch, in this process.

    Args:
        jobs: most builds at once.
        record: file that remembers the images that the run pulled, so that the next process may remove them too.
    """

    jobs: int = DEFAULT_JOBS
    record: Path | None = None

    def __post_init__(self) -> None:
        self._slots = threading.BoundedSemaphore(self.jobs)
        self._lock = threading.Lock()
        self._keys: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._in_use: Counter[str] = Counter()
        self._pulled: list[PulledImage] = _read(self.record)

    @contextmanager
    def building(self, key: str) -> Generator[None]:
        """Hold a place to build `key` in; who builds the same is waited for first, and then finds it there."""
        with self._lock:
            own = self._keys[key]
        with own, self._slots:
            yield

    @contextmanager
    def using(self, name: str) -> Generator[None]:
        """Keep an image, by the name that it is pulled by, from being removed; it was used last then."""
        with self._lock:
            self._in_use[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use[name] -= 1
                self._pulled.sort(key=lambda one: one.name == name)  # stable: the one used last goes to the end

    def pulled(self, name: str, made: str) -> None:
        """Note that this run pulled an image, before another one is made of it.

        Raises:
            StorageError: the record cannot be written.
        """
        with self._lock:
            self._pulled = [one for one in self._pulled if one.name != name]
            self._pulled.append(PulledImage(name=name, made=made))
            self._keep()

    def make_room(self, cache: Path, engine: Remover) -> None:
        """See to it that the disk has room for a build; images may go for it that this run pulled and nobody uses.

        Args:
            cache: where environments are kept; its disk is looked at.
            engine: has the images.

        Raises:
            SandboxError: `disk_full`: nothing is left to remove; or the engine refused.
        """
        while not has_room(cache) and self.free_one(engine):
            pass
        require_room(cache)

    def free_one(self, engine: Remover) -> bool:
        """Remove the pulled image that was not used for the longest time; False where each is in use, or none is left.

        Raises:
            SandboxError: the engine refused.
        """
        with self._lock:
            idle = [one for one in self._pulled if not self._in_use[one.name]]
            if not idle:
                return False
            oldest = idle[0]
            self._pulled.remove(oldest)
            self._keep()
        engine.remove_image(oldest.made)
        engine.remove_image(oldest.name)
        return True

    def _keep(self) -> None:
        if self.record is not None:
            write_text(self.record, TypeAdapter(list[PulledImage]).dump_json(self._pulled, indent=1).decode() + "\n")


def _read(record: Path | None) -> list[PulledImage]:
    """Return what an earlier process noted; a record that cannot be read means only that nothing of it is removed."""
    if record is None or not record.exists():
        return []
    try:
        return TypeAdapter(list[PulledImage]).validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return []
