"""Where the symbolic links of a patched tree lead, through each other too: for policy.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ostro.sandbox.policy_rules import canonical

MAX_LINKS = 64
"""No system follows more links on one way (Linux 40, macOS 32, Windows 63)."""
MAX_STEPS = 400
"""Components on one way; a real link has a dozen, an attack on the host's time may have any number."""
MAX_TARGET_BYTES = 4095
"""PATH_MAX of Linux."""

ABSOLUTE = "the symbolic link has an absolute target"
OUTSIDE = "the symbolic link leads out of the repository"
INTO_GIT = "the symbolic link leads into .git"
CIRCLE = "the symbolic link leads in a circle"


@dataclass
class Walk:
    """One link followed to its end.

    Attributes:
        trouble: why it may not stay; "" for a link that stays inside.
        through: the canonical paths of the links it went through, itself included.
    """

    trouble: str = ""
    through: set[str] = field(default_factory=set[str])


def follow(link: str, links: Mapping[str, str]) -> Walk:
    """Follow a link of the tree.

    Args:
        link: its canonical path.
        links: canonical path -> target as it is written, of every link in the tree.
    """
    walk = Walk(through={link})
    at = link.split("/")[:-1]
    ahead = _parts(links[link], walk)
    hops = 0
    for _ in range(MAX_STEPS):
        if not ahead or walk.trouble:
            return walk
        part = ahead.pop()
        if part == "..":
            walk.trouble = "" if at else OUTSIDE
            del at[-1:]
            continue
        at.append(part)
        here = "/".join(at)
        if part == ".git":
            walk.trouble = INTO_GIT
        elif here in links:
            hops += 1
            walk.through.add(here)
            del at[-1:]
            ahead += _parts(links[here], walk)
            walk.trouble = walk.trouble or ("" if hops <= MAX_LINKS else CIRCLE)
    walk.trouble = walk.trouble or CIRCLE
    return walk


def _parts(target: str, walk: Walk) -> list[str]:
    """Return the canonical components of a target, the first one last."""
    if target.startswith(("/", "\\")) or target[1:2] == ":":
        walk.trouble = ABSOLUTE
        return []
    return [part for part in reversed(canonical(target).split("/")) if part not in ("", ".")]
