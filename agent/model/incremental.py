"""Something computed once for each part of a growing history, and looked up from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from ostro.agent.history import Message
from ostro.agent.model.profile import EndpointProfile
from ostro.agent.model.wire import WireMessage, blocks, ending, last_role, render_block

T = TypeVar("T")

Compute = Callable[[Sequence[Message], Sequence[WireMessage]], T]
"""From a block of messages and its rendering; the block is empty for what only ends a prompt."""


class _Kept(NamedTuple, Generic[T]):
    block: tuple[Message, ...]
    before: str
    after: str
    value: T


class BlockCache(Generic[T]):
    """Keeps a value for each rendered block of one history, for as long as the same objects come again.

    Attributes:
        computed: how often something was really computed, for the test that a turn costs only what is new.
    """

    def __init__(self, profile: EndpointProfile, compute: Compute[T], *, vision: bool) -> None:
        self._profile = profile
        self._compute = compute
        self._vision = vision
        self._kept: list[_Kept[T]] = []
        self.computed = 0

    def values(self, messages: Iterable[Message]) -> list[T]:
        """Return the values of all blocks, in order, and of what `wire.render` adds at the end."""
        fresh: list[_Kept[T]] = []
        before = ""
        for index, block in enumerate(blocks(messages)):
            kept = self._kept[index] if index < len(self._kept) else None
            if kept is None or kept.before != before or not same_messages(kept.block, block):
                kept = self._new(block, before)
            fresh.append(kept)
            before = kept.after
        self._kept = fresh
        tail = ending(before)
        return [kept.value for kept in fresh] + ([self._compute((), tail)] if tail else [])

    def _new(self, block: tuple[Message, ...], before: str) -> _Kept[T]:
        self.computed += 1
        rendered = render_block(block, before, self._profile, vision=self._vision)
        return _Kept(block, before, last_role(rendered, before), self._compute(block, rendered))


def same_messages(some: Sequence[Message], others: Sequence[Message]) -> bool:
    """Whether both hold the very same objects; messages are frozen, so that is enough."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
