"""What an embedded sandbox sees of the host, and how bubblewrap or util-linux is told so.

Seen: the system's read-only program folders, a few files of /etc, tool chains that were asked for, the workspace.
Not seen: any home, /root, /var, /run, other mounts, the host's processes and network.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/debian_version",
    "/etc/java-11-openjdk",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
"""No passwd, group or hosts of the host: stubs are shown. Nothing that only root may read."""

INSIDE_ID = 1000
ROOT_BYTES = 16 * 1024 * 1024

STUBS = {
    "/etc/passwd": (
        f"root:x:0:0:root:/root:/bin/sh\nostro:x:{INSIDE_ID}:{INSIDE_ID}:ostro:/tmp/home:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    ),
    "/etc/group": f"root:x:0:\nostro:x:{INSIDE_ID}:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "/etc/hostname": "ostro\n",
}

_SECCOMP_START = Path(__file__).with_name("seccomp_start.py")

Kind = Literal["ro", "rw", "link", "tmpfs"]


@dataclass(frozen=True)
class Mount:
    """One thing to be seen inside, at `target`.

    Attributes:
        source: path on the host for `ro` and `rw`, the link's text for `link`, empty for `tmpfs`.
        size_bytes: limit of a tmpfs.
    """

    kind: Kind
    target: str
    source: str = ""
    size_bytes: int = 0


def system_mounts(stubs: Path) -> list[Mount]:
    """Return the system as it is to be seen: read-only folders, parts of /etc, our stubs of the rest."""
    mounts: list[Mount] = []
    for name in SYSTEM_FOLDERS:
        folder = Path(name)
        if folder.is_symlink():
            mounts.append(Mount("link", name, str(folder.readlink())))
        elif folder.is_dir():
            mounts.append(Mount("ro", name, name))
    mounts += [Mount("ro", name, name) for name in ETC if Path(name).exists()]
    mounts += [Mount("ro", name, str(stubs / Path(name).name)) for name in STUBS]
    return mounts


def write_stubs(folder: Path) -> None:
    """Write the files that stand in for the host's /etc/passwd and the like."""
    folder.mkdir(exist_ok=True)
    for name, text in STUBS.items():
        (folder / Path(name).name).write_text(text)


class Stage:
    """For root: shows folders that only root can reach to a plain user, in a private mount namespace.

    The sandbox is built by a plain user (root inside a sandbox would be root for limits and file permissions),
    who may not be able to enter, for example, /root/.local/share/ostro. So root binds each source to a numbered
    entry below `PLACE` first, where nobody else sees it, and then becomes that user.
    """

    PLACE = "/mnt"

    def __init__(self, user: int) -> None:
        self._user = user
        self._sources: list[str] = []

    def show_path(self, path: Path) -> Path:
        """Return the path under which the plain user sees `path`."""
        name = str(path)
        if name not in self._sources:
            self._sources.append(name)
        return Path(self.PLACE) / str(self._sources.index(name))

    def show_program(self, program: Path) -> str:
        """Return the path of a program; one of a wheel is shown with the folder that its libraries lie in."""
        if str(program).startswith(SYSTEM_FOLDERS):
            return str(program)
        folder = program.parents[2]
        return str(self.show_path(folder) / program.relative_to(folder))

    def show(self, mount: Mount) -> Mount:
        """Return the mount as the plain user asks for it; what the system shows everybody stays as it is."""
        public = mount.source == mount.target and mount.source.startswith((*SYSTEM_FOLDERS, "/etc/"))
        if mount.kind not in {"ro", "rw"} or public:
            return mount
        return replace(mount, source=str(self.show_path(Path(mount.source))))

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the command line that makes the entries, becomes the plain user and runs `command`."""
        lines = [f"mount -t tmpfs -o size=1m,mode=755 tmpfs {self.PLACE}"]
        entries = {f"{self.PLACE}/{number}": name for number, name in enumerate(self._sources)}
        folders = [entry for entry, name in entries.items() if Path(name).is_dir()]
        lines += [shlex.join(["mkdir", *folders])] if folders else []
        lines += [f": >{entry}" for entry in entries if entry not in folders]
        lines += [f"mount --bind {shlex.quote(name)} {entry}" for entry, name in entries.items()]
        user = str(self._user)
        drop = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all", "--"]
        lines.append(f"exec {shlex.join([*drop, *command])}")
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(lines)]


def bwrap_argv(
    program: str,
    mounts: Iterable[Mount],
    environment: dict[str, str],
    workdir: str,
    command: Sequence[str],
    *,
    seccomp: int | None = None,
) -> list[str]:
    """Return the command line for bubblewrap 0.8 or later; it reads a filter from the descriptor `seccomp`."""
    argv = [
        program,
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--as-pid-1",
    ]
    argv += ["--cap-drop", "ALL", "--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID), "--hostname", "ostro"]
    argv += ["--seccomp", str(seccomp)] if seccomp is not None else []
    argv += ["--proc", "/proc", "--dev", "/dev"]
    for mount in mounts:
        if mount.kind == "ro":
            argv += ["--ro-bind", mount.source, mount.target]
        elif mount.kind == "rw":
            argv += ["--bind", mount.source, mount.target]
        elif mount.kind == "link":
            argv += ["--symlink", mount.source, mount.target]
        else:
            argv += ["--perms", "1777", "--size", str(mount.size_bytes), "--tmpfs", mount.target]
    argv += ["--remount-ro", "/dev", "--remount-ro", "/"]
    for name, value in environment.items():
        argv += ["--setenv", name, value]
    return [*argv, "--chdir", workdir, "--", *command]


def unshare_argv(
    mounts: Iterable[Mount], environment: dict[str, str], workdir: str, command: Sequence[str], *, root: Path
) -> list[str]:
    """Return the command line for util-linux: namespaces, then a script that builds the root at `root`.

    Two user namespaces: the mounts need to be made as root of the first, the commands run as a plain user of
    the second, without a capability and with no_new_privs.
    """
    inner = ["unshare", "--user", f"--map-user={INSIDE_ID}", f"--map-group={INSIDE_ID}"]
    inner += ["setpriv", "--no-new-privs", "--inh-caps=-all", "--", "env", "-i"]
    inner += [f"{name}={value}" for name, value in environment.items()]
    script = "\n".join(_mount_script(mounts, str(root), workdir, [*inner, *command]))
    return [
        "unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup",
        "--fork", "--kill-child=KILL", "sh", "-ec", script,
    ]  # fmt: skip


def filtered_argv(command: Sequence[str], seccomp: int) -> list[str]:
    """Return the command line that puts itself under the filter in the descriptor `seccomp` and becomes `command`."""
    return [sys.executable, "-I", "-S", str(_SECCOMP_START), str(seccomp), *command]


def _mount_script(mounts: Iterable[Mount], root: str, workdir: str, command: Sequence[str]) -> list[str]:
    """Return the lines of the script that becomes the first process of the new namespaces."""
    at = shlex.quote(root)
    lines = [
        f"mount -t tmpfs -o size={ROOT_BYTES},mode=755,nosuid,nodev tmpfs {at}",
        f"cd {at}",
        "mkdir proc dev old",
        f"mount -t tmpfs -o size={ROOT_BYTES},mode=755,nosuid tmpfs dev",
        "for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done",
        "ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr",
        "mkdir dev/shm dev/pts",
        "mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts || :",
        "ln -s pts/ptmx dev/ptmx",
    ]
    read_only: list[str] = []
    for mount in mounts:
        target = shlex.quote(mount.target.lstrip("/"))
        source = shlex.quote(mount.source)
        folder = shlex.quote(str(Path(mount.target).parent).lstrip("/") or ".")
        lines.append(f"mkdir -p {folder}")
        if mount.kind == "link":
            lines.append(f"ln -s {source} {target}")
        elif mount.kind == "tmpfs":
            lines.append(f"mkdir -p {target}")
            lines.append(f"mount -t tmpfs -o size={mount.size_bytes},mode=1777,nosuid,nodev tmpfs {target}")
        else:
            lines.append(f"if [ -d {source} ]; then mkdir -p {target}; else [ -e {target} ] || : >{target}; fi")
            lines.append(f"mount --bind {source} {target}")
            # The flags that the host's mount has are locked: they have to be asked for again.
            read_only.append(target) if mount.kind == "ro" else lines.append(_remount(target, "rw"))
    lines += [_remount(target, "ro") for target in read_only]
    lines += [
        "mount -t proc -o nosuid,nodev,noexec proc proc",
        # One more user namespace is ours, below; a command gets none, and with it no way to privileged calls.
        "echo 1 >proc/sys/user/max_user_namespaces",
        "mount -o remount,bind,ro,nosuid dev",
        "ip link set lo up 2>/dev/null || :",
        "hostname ostro 2>/dev/null || :",
        "pivot_root . old",
        "cd /",
        "umount -l old",
        "rmdir old",
        "mount -o remount,bind,ro,nosuid,nodev /",
        f"cd {shlex.quote(workdir)}",
        f"exec {shlex.join(command)}",
    ]
    return lines


def _remount(target: str, access: str) -> str:
    return f"mount -o remount,bind,{access},nosuid,nodev {target}"
