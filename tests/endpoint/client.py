"""A client against the scripted endpoint, with a clock that does not wait."""

from __future__ import annotations

import random
from typing import Any

from ostro.agent.history import Message, SystemMessage, UserMessage
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.client import ModelClient, RetryEvent
from ostro.agent.model.profile import Target
from ostro.agent.model.reply import Reply
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint

KEY = "sk-canary-0123456789"
TASK: tuple[Message, ...] = (SystemMessage(text="You mend code."), UserMessage(text="Mend hello.py."))


class FakeClock:
    """A clock that is where it was told to be: a wait takes no time and is remembered."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.time = 1000.0
        self.waits: list[float] = []
        self._stop_after = stop_after

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += seconds
        return self.interrupted()

    def interrupted(self) -> bool:
        return self._stop_after is not None and len(self.waits) >= self._stop_after


class Caller:
    """One client, what it reported, and how long it would have waited."""

    def __init__(self, endpoint: ScriptedEndpoint, *, clock: FakeClock | None = None, **options: Any) -> None:
        profile_changes: dict[str, Any] = {}
        for name in ("first_token_s", "idle_s", "total_s"):
            if name in options:
                profile_changes[name] = options.pop(name)
        target = resolve("scripted", endpoint.url, (0.1, 0.3))
        profile = target.profile.model_copy(update=profile_changes)
        self.clock = clock if clock is not None else FakeClock()
        self.retries: list[RetryEvent] = []
        self.client = ModelClient(
            Target(profile=profile, model=target.model),
            options.pop("key", KEY),
            clock=self.clock,
            on_retry=self.retries.append,
            rng=random.Random(7),
            **options,
        )

    def ask(self, messages: tuple[Message, ...] = TASK, **options: Any) -> Reply:
        with self.client:
            return self.client.complete(messages, max_tokens=512, temperature=0.0, **options)

    @property
    def waits(self) -> list[float]:
        return self.clock.waits
