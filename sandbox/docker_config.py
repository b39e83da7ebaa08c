"""What a sandbox's container looks like, as request bodies of the engine's API: pure functions of the specification.

The defaults are hard on purpose and cost nothing measurable at start: no network, no capability, no new privilege, no
writable root, no swap, limits on everything, and no file of the host to be seen.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

from ostro.sandbox.docker_engine import ImageInfo
from ostro.sandbox.protocol import ENVIRONMENT_DIR, Limits, SandboxSpec
from ostro.sandbox.shell import BASE_GIT, STATE_DIR, base_environment, boot_argv

OSTRO_DIR = "/ostro"
HOME_DIR = f"{OSTRO_DIR}/home"
USER_ID = 1000
USER_NAME = "ostro"
CPU_PERIOD_US = 100_000
SHM_BYTES = 64 * 1024 * 1024
VAR_TMP_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Volumes:
    """Names of a sandbox's volumes on the engine.

    Attributes:
        ostro: mounted at /ostro: base.git, the home folder, the shell's state.
        workspace: mounted at the workdir; None where the image holds the workspace.
        environment: mounted at `ENVIRONMENT_DIR` while that is being prepared, else None.
    """

    ostro: str
    workspace: str | None
    environment: str | None = None

    def names(self) -> list[str]:
        """Return the names of the volumes that there are."""
        return [name for name in (self.ostro, self.workspace, self.environment) if name]


@dataclass(frozen=True)
class Identity:
    """Who the commands run as.

    Attributes:
        user: for the API: `uid:gid`, or a name that the image knows.
    """

    user: str
    name: str
    home: str


def identity_for(spec: SandboxSpec, image: ImageInfo) -> Identity:
    """Return uid 1000 over a workspace volume; over an image's own workspace the user that the image names.

    The files of such an image belong to its user, mostly root; a root without capabilities can do no more
    than their owner.
    """
    if spec.base_git is not None:
        return Identity(f"{USER_ID}:{USER_ID}", USER_NAME, HOME_DIR)
    name = image.user.partition(":")[0]
    if name in ("", "0", "root"):
        return Identity(image.user or "0:0", "root", image.env.get("HOME", "/root"))
    return Identity(image.user, name if not name.isdigit() else USER_NAME, image.env.get("HOME", HOME_DIR))


def environment(spec: SandboxSpec, image: ImageInfo, identity: Identity) -> list[str]:
    """Return `KEY=value` of every command: the image's variables, ours over them, then the run's own."""
    who = {"HOME": identity.home, "USER": identity.name, "LOGNAME": identity.name}
    kept = {"PATH": image.env["PATH"]} if "PATH" in image.env else {}
    merged = {**image.env, **base_environment(spec), **who, **kept, **spec.env}
    return [f"{key}={value}" for key, value in merged.items()]


def container_config(
    spec: SandboxSpec, image: ImageInfo, volumes: Volumes, labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return the body of the create request of the sandbox's container."""
    identity = identity_for(spec, image)
    return {
        "Image": image.id,
        "Entrypoint": boot_argv(),
        "Cmd": [],
        "User": identity.user,
        "WorkingDir": "/" if spec.base_git is not None else spec.workdir,
        "Env": environment(spec, image, identity),
        "Hostname": "sandbox",
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",  # the first process ignores the others: an engine that restarts would wait for it
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,  # our connection is the dead-man's switch: when it breaks, stdin ends inside
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_config(spec, volumes),
    }


def _host_config(spec: SandboxSpec, volumes: Volumes) -> dict[str, Any]:
    limits = spec.limits
    own_workspace = volumes.workspace is not None
    return {
        "NetworkMode": "none",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": own_workspace,
        "AutoRemove": own_workspace,  # the volumes hold all that is worth keeping; an image's workspace does not
        "LogConfig": {"Type": "none"},  # else the engine keeps a copy of the whole output on its disk
        "PidsLimit": limits.processes,
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,  # equal to Memory: no swap
        "CpuPeriod": CPU_PERIOD_US,  # not NanoCpus: the engine refuses more of these than the machine has
        "CpuQuota": int(limits.cpus * CPU_PERIOD_US),
        "ShmSize": SHM_BYTES,
        "Ulimits": [
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Tmpfs": _tmpfs(limits),
        "Mounts": _mounts(spec, volumes),
    }


def _tmpfs(limits: Limits) -> dict[str, str]:
    options = "rw,exec,nosuid,nodev,mode=1777"
    return {
        "/tmp": f"{options},size={limits.tmp_bytes}",  # noqa: S108 - inside the container
        "/var/tmp": f"{options},size={VAR_TMP_BYTES}",  # noqa: S108 - inside the container
    }


def _mounts(spec: SandboxSpec, volumes: Volumes) -> list[dict[str, Any]]:
    """Return the volume mounts; the image's content at these places is never copied into them."""
    made = [_volume(volumes.ostro, OSTRO_DIR)]
    if volumes.workspace is not None:
        made.append(_volume(volumes.workspace, spec.workdir))
    if volumes.environment is not None:
        made.append(_volume(volumes.environment, ENVIRONMENT_DIR))
    return made


def _volume(name: str, target: str) -> dict[str, Any]:
    return {"Type": "volume", "Source": name, "Target": target, "VolumeOptions": {"NoCopy": True}}


def filler_config(spec: SandboxSpec, image: ImageInfo, volumes: Volumes, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the body for a container that is never started: a way to put files into the volumes.

    Only an archive unpacked at `/` sets the owner of a volume's root (its own "./" entry is ignored, seen on 20.10),
    and that is refused on a read-only root. So this one has a writable root.
    """
    return {
        "Image": image.id,
        "Entrypoint": ["true"],
        "Labels": dict(labels),
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}, "Mounts": _mounts(spec, volumes)},
    }


def volume_tree(spec: SandboxSpec, identity: Identity) -> IO[bytes]:
    """Return a tar for `/`: base.git, the state and home folders, the empty workspace, each with its owner.

    base.git belongs to root and /ostro has the sticky bit, so the sandbox's user can neither change nor rename it.
    """
    spool = TemporaryFile()  # noqa: SIM115 - the caller closes it
    owner = 0 if identity.user.partition(":")[0] in ("0", "root") else USER_ID
    with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add_folder(archive, OSTRO_DIR, 0, 0o1777)
        _add_folder(archive, STATE_DIR, owner, 0o700)
        _add_folder(archive, HOME_DIR, owner, 0o755)
        if spec.writable_environment:
            _add_folder(archive, ENVIRONMENT_DIR, owner, 0o755)
        if spec.base_git is not None:
            _add_folder(archive, spec.workdir, owner, 0o755)
            archive.add(spec.base_git, BASE_GIT.lstrip("/"), filter=_as_root)
    spool.seek(0)
    return spool


def _add_folder(archive: tarfile.TarFile, path: str, owner: int, mode: int) -> None:
    entry = tarfile.TarInfo(path.strip("/") + "/")
    entry.type = tarfile.DIRTYPE
    entry.uid = entry.gid = owner
    entry.mode = mode
    archive.addfile(entry)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o444
    return entry


def safe_name(text: str) -> str:
    """Return `text` as a container name may hold it: letters, digits, dot, dash, underscore; at most 40."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", text).strip("-.")[:40] or "run"
