"""A thin adapter of docker-py: the calls that the sandbox makes, with typed answers and our errors.

The only module that sees docker-py's untyped answers; each becomes a type in the function that asked for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from ostro.sandbox.docker_channel import AttachedChannel
from ostro.sandbox.docker_connection import CALL_TIMEOUT_S, connected_client, engine_errors, ignoring, knock
from ostro.sandbox.protocol import SandboxError

if TYPE_CHECKING:
    from docker import APIClient

TRANSFER_CHUNK = 1024 * 1024

RUNNING = ("running", "paused", "restarting")
NOT_FOUND = 404
CONFLICT = 409


@dataclass(frozen=True)
class ImageInfo:
    """What an image says of itself.

    Attributes:
        id: content digest, `sha256:...`.
        user: the configured user, "" for root.
        env: configured variables.
    """

    id: str
    user: str
    env: Mapping[str, str]


@dataclass(frozen=True)
class ContainerState:
    """Where a container is in its life.

    Attributes:
        exit_code: of the first process; 0 while it runs.
        oom_killed: the engine saw the first process die for want of memory.
    """

    running: bool
    paused: bool
    exit_code: int
    oom_killed: bool


@dataclass(frozen=True)
class Labelled:
    """A container or volume found by its labels."""

    id: str
    name: str
    labels: Mapping[str, str]
    running: bool = False


@dataclass(frozen=True)
class KeptImage:
    """An image by one of its tags.

    Attributes:
        size_bytes: with all its layers, shared ones included.
        created_s: seconds since the epoch.
    """

    name: str
    size_bytes: int
    created_s: float


class Engine:
    """One connection to a container engine that speaks Docker's API.

    Every method raises SandboxError: `transport` when the connection breaks, `image` about an image, `disk_full`
    when the engine says so, else `unavailable`.
    """

    def __init__(self, client: APIClient, address: str) -> None:
        self._client: Any = client  # the stubs leave half of it untyped; each method types its own answer
        self.address = address

    @classmethod
    def connect(cls, environ: Mapping[str, str] | None = None) -> Engine:
        """Connect to the engine of DOCKER_HOST, else to the first socket found.

        Args:
            environ: read instead of the process's environment (DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY).

        Raises:
            SandboxError: `unavailable`; the mend is the command that helps.
        """
        client, address = connected_client(dict(os.environ if environ is None else environ))
        return cls(client, address)

    def close(self) -> None:
        """Close the pooled connections; the engine can still be used and then opens new ones."""
        self._client.close()

    def await_answer(self, within_s: float) -> None:
        """Wait for an engine that may be restarting. Raises SandboxError `transport` when it stays away."""
        deadline = time.monotonic() + within_s
        pause_s = 0.1
        while True:
            try:
                with engine_errors("waiting for the engine to come back"):
                    knock(self.address)  # docker-py leaks a socket where nobody answers
                    self._client.ping()
            except SandboxError:
                if time.monotonic() + pause_s > deadline:
                    raise
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 2.0)
            else:
                return

    # images

    def image(self, name: str) -> ImageInfo | None:
        """Return what the engine has under `name`, None when it has nothing."""
        from docker.errors import ImageNotFound

        with engine_errors(f"looking up image {name}", kind="image"):
            try:
                found: dict[str, Any] = self._client.inspect_image(name)
            except ImageNotFound:
                return None
        config: dict[str, Any] = found.get("Config") or {}
        entries: list[str] = config.get("Env") or []
        pairs = (entry.partition("=") for entry in entries)
        return ImageInfo(id=found["Id"], user=config.get("User") or "", env={key: value for key, _, value in pairs})

    def pull(self, name: str) -> None:
        """Fetch an image from its registry; the tag defaults to `latest`."""
        with engine_errors(f"pulling image {name}", kind="image"):
            repository, tag = _split_tag(name)
            for step in self._client.pull(repository, tag=tag, stream=True, decode=True):
                if "error" in step:
                    raise SandboxError(f"image {name} cannot be pulled: {step['error']}", kind="image")

    def import_image(self, tree: IO[bytes], tag: str, changes: list[str]) -> str:
        """Make an image of a tar of a root tree; return its id. See `_replacing`.

        Args:
            tree: the tar stream.
            tag: its name, `repository:tag`.
            changes: Dockerfile instructions for its configuration, for example `ENV LANG=C.UTF-8`.
        """
        repository, label = _split_tag(tag)
        with engine_errors(f"importing image {tag}", kind="image"), self._replacing(tag):
            chunks = iter(lambda: tree.read(TRANSFER_CHUNK), b"")  # docker-py says chunked, so it must not be a file
            self._client.import_image_from_stream(chunks, repository=repository, tag=label, changes=changes)
        found = self.image(tag)
        if found is None:
            raise SandboxError(f"the engine took image {tag} but does not have it", kind="image")
        return found.id

    def commit(self, container: str, tag: str) -> str:
        """Make an image of a container's root tree (volumes are not in it); return its id. See `_replacing`."""
        repository, label = _split_tag(tag)
        with engine_errors(f"saving the container as image {tag}", kind="image"), self._replacing(tag):
            return str(self._client.commit(container, repository=repository, tag=label)["Id"])

    @contextmanager
    def _replacing(self, tag: str) -> Generator[None]:
        """Remove what had a tag before it was given to another image, unless anything else refers to it."""
        before = self.image(tag)
        yield
        if before is None:
            return
        with ignoring(NOT_FOUND, CONFLICT):  # a container that uses it is a conflict
            if not self._client.inspect_image(before.id)["RepoTags"]:
                self._client.remove_image(before.id)

    def remove_image(self, name: str) -> None:
        """Remove an image; a missing one is fine."""
        with engine_errors(f"removing image {name}", kind="image"), ignoring(NOT_FOUND):
            self._client.remove_image(name, force=True)

    def images(self, prefix: str) -> list[KeptImage]:
        """Return the images whose name begins with `prefix`, one for each tag."""
        with engine_errors("listing images"):
            answer: list[dict[str, Any]] = self._client.images()
        kept: list[KeptImage] = []
        for found in answer:
            tags: list[str] = found.get("RepoTags") or []
            kept += [
                KeptImage(tag, int(found["Size"]), float(found["Created"])) for tag in tags if tag.startswith(prefix)
            ]
        return kept

    # volumes

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make an empty local volume."""
        with engine_errors(f"creating volume {name}"):
            self._client.create_volume(name=name, labels=dict(labels))

    def remove_volume(self, name: str) -> bool:
        """Remove a volume; False when a container still uses it."""
        with engine_errors(f"removing volume {name}"), ignoring(NOT_FOUND, CONFLICT) as ignored:
            self._client.remove_volume(name, force=True)
        return CONFLICT not in ignored

    def volumes(self, labels: Mapping[str, str]) -> list[Labelled]:
        """Return the volumes that carry all of `labels`; an empty value means any."""
        with engine_errors("listing volumes"):
            answer: dict[str, Any] = self._client.volumes(filters={"label": _label_filter(labels)})
        found: list[dict[str, Any]] = answer.get("Volumes") or []
        return [Labelled(v["Name"], v["Name"], v.get("Labels") or {}) for v in found]

    # containers

    def create_container(self, config: Mapping[str, Any], name: str) -> str:
        """Create a container from a request body of the API; return its id."""
        with engine_errors(f"creating container {name}"):
            return str(self._client.create_container_from_config(dict(config), name)["Id"])

    def attach(self, container: str) -> AttachedChannel:
        """Attach to the first process's streams; before `start`, or some output is lost."""
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with engine_errors("attaching to the container"):
            return _channel(self._client.attach_socket(container, params=params))

    def execute(self, container: str, argv: Sequence[str]) -> AttachedChannel:
        """Run a further process in a running container; return its streams."""
        with engine_errors("starting a process in the container"):
            made = self._client.exec_create(container, list(argv), stdin=True)
            return _channel(self._client.exec_start(made["Id"], socket=True))

    def output_of(self, container: str, argv: Sequence[str], timeout_s: float) -> str:
        """Run a further process in a running container and return what it wrote on stdout until then."""
        channel = self.execute(container, argv)
        deadline = time.monotonic() + timeout_s
        said = b""
        try:
            while (left_s := deadline - time.monotonic()) > 0 and (piece := channel.receive(left_s)):
                said += piece
        finally:
            channel.close()
        return said.decode("utf-8", "replace")

    def start(self, container: str) -> None:
        """Start a created or stopped container."""
        with engine_errors("starting the container"):
            self._client.start(container)

    def signal(self, container: str, name: str) -> bool:
        """Send a signal to the first process; False when the container does not run."""
        with engine_errors("signalling the container"), ignoring(NOT_FOUND, CONFLICT) as ignored:
            self._client.kill(container, signal=name)
        return not ignored

    def wait(self, container: str, *, removed: bool = False) -> None:
        """Wait until the first process has ended, or the container is `removed`; a missing one is fine."""
        condition = "removed" if removed else "not-running"
        with engine_errors("waiting for the container"), ignoring(NOT_FOUND):
            self._client.wait(container, timeout=CALL_TIMEOUT_S, condition=condition)

    def unpause(self, container: str) -> None:
        """Let a paused container go on; a running one is fine."""
        with engine_errors("unpausing the container"), ignoring(NOT_FOUND, CONFLICT, 500):
            self._client.unpause(container)

    def state(self, container: str) -> ContainerState | None:
        """Return where the container is, None when it is gone."""
        answer: dict[str, Any] = {}
        with engine_errors("inspecting the container"), ignoring(NOT_FOUND):
            answer = self._client.inspect_container(container)
        if not answer:
            return None
        state = answer["State"]
        return ContainerState(
            running=bool(state["Running"]),
            paused=bool(state["Paused"]),
            exit_code=int(state["ExitCode"]),
            oom_killed=bool(state["OOMKilled"]),
        )

    def containers(self, labels: Mapping[str, str]) -> list[Labelled]:
        """Return the containers, running or not, that carry all of `labels`; an empty value means any."""
        with engine_errors("listing containers"):
            answer: list[dict[str, Any]] = self._client.containers(all=True, filters={"label": _label_filter(labels)})
        return [
            Labelled(c["Id"], c["Names"][0].lstrip("/"), c.get("Labels") or {}, running=c["State"] in RUNNING)
            for c in answer
        ]

    def put(self, container: str, path: str, tree: IO[bytes]) -> None:
        """Unpack a tar stream at `path` in the container, volumes included; it need not run."""
        with engine_errors("copying into the container"):
            self._client.put_archive(container, path, tree)

    def get(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a tar stream of `path` in the container; it need not run."""
        with engine_errors("copying from the container"):
            chunks, _ = self._client.get_archive(container, path, chunk_size=TRANSFER_CHUNK)
            yield from chunks

    def remove_container(self, container: str) -> bool:
        """Kill and remove a container with its anonymous volumes; False when that failed for the moment."""
        with engine_errors("removing the container"), ignoring(NOT_FOUND, CONFLICT) as ignored:
            self._client.remove_container(container, force=True, v=True)
        return CONFLICT not in ignored


def _channel(wrapper: Any) -> AttachedChannel:
    # docker-py answers a SocketIO around the socket, over TLS the socket itself
    return AttachedChannel(getattr(wrapper, "_sock", wrapper), close_with=(wrapper.close,))


def _label_filter(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" if value else key for key, value in labels.items()]


def _split_tag(name: str) -> tuple[str, str]:
    """Split `host:5000/repo:tag`; a digest stays with the repository, as the engine wants it."""
    head, _, last = name.rpartition("/")
    repository, _, tag = last.partition(":") if "@" not in last else (last, "", "")
    return (f"{head}/{repository}" if head else repository), tag or ("" if "@" in last else "latest")
