"""How a container engine is found and reached, and what its failures are called.

The adapter itself is sandbox/docker_engine.py.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ostro.sandbox.protocol import SandboxError, SandboxErrorKind

if TYPE_CHECKING:
    from docker import APIClient

PROBE_TIMEOUT_S = 10
CALL_TIMEOUT_S = 120
SILENCE_S = 600
"""How long a call may stay silent for which docker-py sets no limit: pulling and importing tell how far they are."""

OLDEST_API = "1.24"
SSH_FORWARD = "ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST & export DOCKER_HOST=unix:///tmp/docker.sock"


def connected_client(env: Mapping[str, str]) -> tuple[APIClient, str]:
    """Return a client of the engine of DOCKER_HOST, else of the first socket found, and the address.

    Raises:
        SandboxError: `unavailable`; the mend is the command that helps.
    """
    address = env.get("DOCKER_HOST") or f"unix://{find_socket(env)}"
    if address.startswith("ssh://"):
        mend = f"Forward its socket and name that: {SSH_FORWARD}"
        raise SandboxError(f"DOCKER_HOST={address}: ssh is not spoken here", kind="unavailable", mend=mend)
    try:
        knock(address)  # before docker-py is imported: without an engine this answers at once
    except OSError as error:
        raise _no_answer(address, error) from error
    return _client(address, env), address


def find_socket(env: Mapping[str, str]) -> Path:
    """Return the engine's unix socket: the usual one, else a rootless one, Docker Desktop's or podman's."""
    home, runtime = Path(env.get("HOME", "/")), env.get("XDG_RUNTIME_DIR", "")
    places = [Path("/var/run/docker.sock"), home / ".docker/run/docker.sock", home / ".colima/default/docker.sock"]
    if runtime:
        places += [Path(runtime) / "docker.sock", Path(runtime) / "podman/podman.sock"]
    return next((place for place in places if place.exists()), places[0])


def knock(address: str) -> None:
    """Open and close a connection. Raises OSError."""
    where = urlsplit(address)
    if where.scheme in ("unix", "http+unix"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PROBE_TIMEOUT_S)
            probe.connect(where.path or where.netloc)
    elif where.hostname and where.port:
        socket.create_connection((where.hostname, where.port), timeout=PROBE_TIMEOUT_S).close()


def _client(address: str, env: Mapping[str, str]) -> APIClient:
    """Return a client that speaks the server's version of the API."""
    import docker
    import requests
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    class Client(docker.APIClient):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            options["timeout"] = options.get("timeout") or SILENCE_S
            return super().send(request, **options)

    try:
        settings: dict[str, Any] = {**kwargs_from_env(environment={**env, "DOCKER_HOST": address})}
        with contextlib.closing(docker.APIClient(version=OLDEST_API, timeout=PROBE_TIMEOUT_S, **settings)) as probe:
            version = str(probe.version(api_version=False)["ApiVersion"])
        return Client(version=version, timeout=CALL_TIMEOUT_S, **settings)
    except (DockerException, requests.RequestException, KeyError, TypeError) as error:
        raise _no_answer(address, error) from error


@contextlib.contextmanager
def engine_errors(doing: str, *, kind: SandboxErrorKind = "unavailable") -> Generator[None]:
    """Turn whatever docker-py raises into a SandboxError that says what was being done."""
    import requests
    from docker.errors import APIError, DockerException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        raise _refused(doing, str(error.explanation or error), kind) from error
    except (DockerException, requests.RequestException, HTTPError, OSError) as error:
        raise _unreachable(doing, error) from error


def _refused(doing: str, said: str, kind: SandboxErrorKind) -> SandboxError:
    if "no space left" in said.lower():
        mend = "Free some disk where the engine keeps its data, for example: docker system prune"
        return SandboxError(f"{doing}: {said}", kind="disk_full", mend=mend)
    if kind == "image":
        mend = "Check the name and the network, name another image with --image, or make one: ostro image build"
        return SandboxError(f"{doing}: {said}", kind="image", mend=mend)
    return SandboxError(f"{doing}: the engine refused: {said}", kind=kind)


def _unreachable(doing: str, error: Exception) -> SandboxError:
    said = next((str(cause) for cause in _chain(error) if isinstance(cause, OSError)), str(error))
    return SandboxError(f"{doing}: the engine's connection broke: {said}", kind="transport")


def _no_answer(address: str, error: Exception) -> SandboxError:
    causes = list(_chain(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        mend = "Join the engine's group and log in again: sudo usermod -aG docker $USER"
        return SandboxError(f"permission denied on the container engine at {address}", kind="unavailable", mend=mend)
    known = [cause for cause in causes if isinstance(cause, FileNotFoundError | ConnectionRefusedError)]
    if known:
        start = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
        mend = f"Start it ({start}), set DOCKER_HOST, or use --sandbox local"
        said = known[0].strerror or str(known[0])
        return SandboxError(f"no container engine answers at {address}: {said}", kind="unavailable", mend=mend)
    mend = "Check DOCKER_HOST and that the engine runs (docker info), or use --sandbox local"
    return SandboxError(f"no container engine answers at {address}: {error}", kind="unavailable", mend=mend)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, through both chaining and the arguments where urllib3 hides causes."""
    seen: set[int] = set()
    queue: list[BaseException] = [error]
    while queue:
        item = queue.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        nested = [item.__cause__, item.__context__, *item.args]
        queue += [cause for cause in nested if isinstance(cause, BaseException)]


@contextlib.contextmanager
def ignoring(*statuses: int) -> Generator[list[int]]:
    """Swallow the engine's refusals with these status codes; yields the list of those met."""
    from docker.errors import APIError

    met: list[int] = []
    try:
        yield met
    except APIError as error:
        if error.status_code not in statuses:
            raise
        met.append(int(error.status_code))
