"""Take stock of a world: what of its workspace differs from the base, and what else a checkpoint holds.

One request over the shell gives all the lists; which of the small files fit is decided here, on the host.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ostro.sandbox import patch
from ostro.sandbox.protocol import Completed
from ostro.sandbox.workspace import NO_GIT, Place, internal

SURVEY_S = 300.0
MAX_LIST_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 1024 * 1024
SMALL_TOTAL_BYTES = 20 * 1024 * 1024
SMALL_FILES = 2000
FIND_BLOCK_BYTES = 512

_TOOL_CACHES = (".cache", ".local", ".npm", ".cargo", ".ostro")
"""Left out of /tmp and of the home, beside what every patch leaves out; `.ostro` is the supervisor's own."""

# Lists of names ended by NUL, each list ended by one more; sizes follow their names. What comes last is the file of
# the session's variables. `--directory` spares git the walk through an ignored node_modules.
_SURVEY = r"""ostro_sized() {{
cat {state}/small
printf '\0'
[ ! -s {state}/small ] || xargs -0 stat -c %s -- <{state}/small | tr '\n' '\0'
printf '\0'
}}
git {quiet} diff-index --cached --raw -z --no-renames "$b" 2>{state}/said || exit {failed}
{{
printf '\0'
git {quiet} ls-files -z -o --exclude-standard
printf '\0'
git {quiet} ls-files -z -o -i --exclude-standard --directory | xargs -0 -r sh -c 'for p do
set -- "$@" "./${{p%/}}"
shift
done
exec find "$@" {small}' find >{state}/small
ostro_sized
find . {scratch} -prune -o -type d -empty -print0
printf '\0'
: >{state}/small
for p in {kept}; do
[ ! -d "$p" ] || find "$p" -xdev {small} >>{state}/small
done
ostro_sized
cat {variables}
}} 2>/dev/null
true
"""

Run = Callable[..., Completed]


@dataclass(frozen=True)
class Survey:
    """What differs from the base. Names are relative to the workspace, in `outside` relative to `/`.

    Attributes:
        changed: new, changed and otherwise typed files, and nested repositories.
        altered: those members of `changed` that the base has too.
        deleted: files of the base that are not there as files.
        ignored: small ignored files, without what tools can make again.
        folders: empty ones.
        outside: small files of /tmp and of the home.
        variables: the session's, as the shell exports them.
    """

    changed: tuple[bytes, ...]
    altered: tuple[bytes, ...]
    deleted: tuple[bytes, ...]
    ignored: tuple[bytes, ...]
    folders: tuple[bytes, ...]
    outside: tuple[bytes, ...]
    variables: bytes

    @property
    def held(self) -> tuple[bytes, ...]:
        """Everything in the workspace that a checkpoint holds."""
        return (*self.changed, *self.ignored, *self.folders, b".git")


def take(run: Run, place: Place, variables: str) -> Survey | None:
    """Survey a world; None where there is no git inside.

    Args:
        run: sends a `Request` over the shell.
        place: of the sandbox.
        variables: path inside of the file with the session's variables.

    Raises:
        SandboxError: `workspace_lost`, or git failed.
    """
    text = patch.script(
        patch.PRIVATE_GIT + patch.ADD_ALL + _SURVEY,
        place,
        small=f"{_named((*patch.SCRATCH, *_TOOL_CACHES))} -prune -o "
        rf"\( -type f -o -type l \) -size -{SMALL_BYTES // FIND_BLOCK_BYTES} -print0",
        scratch=_named((*patch.SCRATCH, ".git")),
        kept=shlex.join(place.kept) or "''",
        variables=shlex.quote(variables),
    )
    done = run(internal(text, SURVEY_S, head_bytes=MAX_LIST_BYTES))
    if done.exit_code == NO_GIT:
        return None
    patch.check(run, done, place)
    return _parse(done.output.head)


def _named(patterns: tuple[str, ...]) -> str:
    """Return a `find` expression for names; quoted by backslashes, for it stands within quotes too."""
    names = [re.sub(r"([^\w.-])", r"\\\1", pattern.rstrip("/")) for pattern in patterns]
    return r"\( " + " -o ".join(f"-name {name}" for name in names) + r" \)"


def _parse(listed: bytes) -> Survey:
    left = iter(listed.split(b"\0"))
    raw = list(_section(left))
    entries = [(fields.rpartition(b" ")[2], name) for fields, name in zip(raw[::2], raw[1::2], strict=False)]
    nested = [name.rstrip(b"/") for name in _section(left) if name.endswith(b"/")]
    ignored = _fitting(list(_section(left)), list(_section(left)))
    folders = tuple(_section(left))
    outside = _fitting(list(_section(left)), list(_section(left)))
    return Survey(
        changed=(*(name for status, name in entries if status != b"D"), *nested),
        altered=tuple(name for status, name in entries if status not in (b"A", b"D")),
        deleted=tuple(name for status, name in entries if status == b"D"),
        ignored=tuple(name.removeprefix(b"./") for name in ignored),
        folders=tuple(name.removeprefix(b"./") for name in folders if name != b"."),
        outside=tuple(name.lstrip(b"/") for name in outside),
        variables=b"\0".join(left),
    )


def _section(items: Iterator[bytes]) -> Iterator[bytes]:
    return iter(lambda: next(items, b""), b"")


def _fitting(names: list[bytes], sizes: list[bytes]) -> list[bytes]:
    """Return, by name, the files that fit; none when a file went away meanwhile and names and sizes do not match."""
    chosen: list[bytes] = []
    room = SMALL_TOTAL_BYTES
    for name, size in sorted(zip(names, map(int, sizes), strict=True)) if len(names) == len(sizes) else ():
        if size <= min(room, SMALL_BYTES) and len(chosen) < SMALL_FILES:
            room -= size
            chosen.append(name)
    return chosen
