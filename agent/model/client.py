"""The model client: one conversation with one endpoint, its retries, its costs, and nothing of what a reply means.

`complete` returns a whole `Reply` or raises; a reply that was cut off is never taken for an answer. What the calls
in it are worth is judged by agent/intake.py.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import JsonValue

from ostro.agent.errors import Interrupted, ModelError, ModelErrorKind
from ostro.agent.history import Message
from ostro.agent.model.answer import OnText, finished, receive
from ostro.agent.model.body import BodyEncoder, Sampling
from ostro.agent.model.cost import cost_of, priced, read_usage
from ostro.agent.model.failure import TryError
from ostro.agent.model.gate import Clock, EventClock, Gate
from ostro.agent.model.loose import count, items, mapping, parse, string
from ostro.agent.model.profile import Target
from ostro.agent.model.reading import Draft, unusable
from ostro.agent.model.reply import Reply, Usage, redacted_reply
from ostro.agent.model.retry import MAX_CALL_S, next_wait
from ostro.agent.model.tokens import TokenCounter
from ostro.agent.model.transport import Transport, Watch
from ostro.agent.model.wire import WireMessage

LIST_S = 20.0
_CONTEXT_NAMES = ("context_window", "max_model_len", "context_length", "max_context_length")


@dataclass(frozen=True)
class RetryEvent:
    """A request that failed and is sent again after `wait_s` seconds.

    Attributes:
        tries: requests made so far for this call.
        cause: short name of what happened: `http_503`, `cut`, `stalled`, `empty_choices`, ...
        raw: what the server sent, capped.
        cost_usd: estimate of what the failed request was billed.
    """

    tries: int
    kind: ModelErrorKind
    cause: str
    message: str
    wait_s: float
    status: int | None = None
    raw: str = ""
    cost_usd: float = 0.0


@dataclass(frozen=True)
class ListedModel:
    """A model that the endpoint says it serves; context 0 when it does not say."""

    id: str
    context: int = 0


@dataclass
class _Call:
    """One call of `complete` while it is tried."""

    body: bytes
    stream: bool
    started: float
    deadline_s: float
    on_text: OnText | None
    prompt: Callable[[], int]
    tries: int = 0
    wasted_usd: float = 0.0
    causes: list[str] = field(default_factory=list[str])


class ModelClient:
    """Talks to one model for one task, on one connection. Not for two threads at once; workers share the `gate`.

    Usage:
        target = resolve("devstral-small-2", "vercel")
        with ModelClient(target, read_key(target.profile)) as client:
            reply = client.complete(history, tools, max_tokens=4096, temperature=0.15)

    Attributes:
        counter: counts prompts, corrected by what the server reports.
        failures: how often each cause of a failed request was met.
    """

    def __init__(
        self,
        target: Target,
        key: str | None,
        *,
        gate: Gate | None = None,
        clock: Clock | None = None,
        on_retry: Callable[[RetryEvent], None] | None = None,
        counter: TokenCounter | None = None,
        stream: bool = True,
        conversation: str = "",
        pin_provider: bool = False,
        rng: random.Random | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.target = target
        self.counter = counter if counter is not None else TokenCounter(target)
        self.failures: dict[str, int] = {}
        self._gate = gate if gate is not None else Gate()
        self._clock = clock if clock is not None else EventClock()
        self._on_retry = on_retry
        self._stream = stream
        self._conversation = conversation
        self._pin_provider = pin_provider
        self._rng = rng if rng is not None else random.Random()  # noqa: S311  # jitter, not a secret
        self._redact = redact
        self._body = BodyEncoder(target)
        self._transport = Transport(target.profile, key)
        self._answered = False

    def warm(self) -> None:
        """Begin to load the HTTP client and the vocabulary in a thread, while the caller does something else."""
        threading.Thread(target=self._load, name="ostro-warm", daemon=True).start()

    def _load(self) -> None:
        self._transport.open()
        self.counter.count_text("")

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def complete(
        self,
        messages: Iterable[Message],
        tools: Sequence[WireMessage] = (),
        *,
        max_tokens: int,
        temperature: float,
        seed: int | None = None,
        tool_choice: str = "auto",
        deadline_s: float | None = None,
        on_text: OnText | None = None,
        response_format: dict[str, JsonValue] | None = None,
    ) -> Reply:
        """Ask for one reply, as often as the policy of retry.py allows.

        Args:
            messages: the history; nothing of it is changed.
            tools: tool descriptions in the endpoint's form (`Toolset.schemas`), always the same list.
            max_tokens: longest reply, at most the model's own limit.
            temperature: sampling temperature.
            seed: sampling seed, sent where the endpoint takes one.
            tool_choice: auto, none, or required (spelled as the endpoint wants it).
            deadline_s: seconds for the whole call, waits included.
            on_text: is shown the text as it arrives; after a retry it begins anew.
            response_format: JSON schema that the text must follow (structured.py).

        Raises:
            ModelError: the request failed for good.
            Interrupted: the run is to stop.
        """
        history = list(messages)
        sampling = Sampling(
            max_tokens=min(max_tokens, self.target.model.max_output),
            temperature=temperature,
            seed=seed,
            tool_choice=tool_choice,
            stream=self._stream,
            cache_key=self._conversation,
            pin_provider=self._pin_provider,
            response_format=response_format,
        )
        call = _Call(
            body=self._body.encode(history, tools, sampling),
            stream=self._stream,
            started=self._clock.now(),
            deadline_s=float("inf") if deadline_s is None else deadline_s,
            on_text=on_text,
            prompt=lambda: self.counter.count_prompt(history, tools),
        )
        reply = self._until_answered(call)
        if reply.usage.exact:
            self.counter.learn(history, tools, reply.usage.input_tokens)
        return redacted_reply(reply, self._redact)

    def list_models(self) -> list[ListedModel]:
        """Return what `GET /models` lists.

        Raises:
            ModelError: the endpoint does not answer, or not with a list.
        """
        try:
            with Watch(LIST_S, LIST_S, self._clock.interrupted) as watch:
                raw = b"".join(self._transport.get("/models", watch))
        except TryError as failure:
            raise _final(failure, 1, 0.0) from failure
        try:
            listed = [mapping(entry) for entry in items(mapping(parse(raw))["data"])]
            return [ListedModel(string(entry["id"]), _context(entry)) for entry in listed]
        except (ValueError, KeyError) as error:
            raise _final(
                unusable("no list of models", "no_model_list", raw.decode("utf-8", "replace")), 1, 0.0
            ) from error

    def _until_answered(self, call: _Call) -> Reply:
        while True:
            call.tries += 1
            try:
                with self._gate.enter(self._clock):
                    begun = self._clock.now()
                    draft = self._try(call)
                    latency = self._clock.now() - begun
            except TryError as failure:
                self._after(failure, call)
                continue
            self._gate.succeeded()
            self._answered = True
            return self._reply(draft, call, latency)

    def _after(self, failure: TryError, call: _Call) -> None:
        """Wait for the next try, or raise."""
        elapsed = self._clock.now() - call.started
        self._answered = self._answered or failure.status is not None or failure.answered
        self.failures[failure.cause] = self.failures.get(failure.cause, 0) + 1
        wasted = self._wasted(failure, call)
        call.wasted_usd += wasted
        wait = next_wait(
            failure,
            call.tries,
            min(MAX_CALL_S, call.deadline_s) - elapsed,
            answered_before=self._answered,
            rng=self._rng,
        )
        if wait < 0:
            raise _final(failure, call.tries, call.wasted_usd) from failure
        if self._on_retry is not None:
            event = RetryEvent(
                tries=call.tries,
                kind=failure.model_kind,
                cause=failure.cause,
                message=str(failure),
                wait_s=wait,
                status=failure.status,
                raw=failure.raw,
                cost_usd=wasted,
            )
            self._on_retry(event)
        if failure.model_kind == "rate":
            now = self._clock.now()
            self._gate.throttled(now, now + wait)
        if self._clock.wait(wait):
            raise Interrupted("interrupted while waiting for the model")

    def _try(self, call: _Call) -> Draft:
        profile = self.target.profile
        left = call.deadline_s - (self._clock.now() - call.started)
        total = min(profile.total_s, left)
        if total <= 0:
            raise TryError("the time for this call is over", kind="unreachable", cause="deadline", final=True)
        first = profile.first_token_s if call.stream else total
        draft = Draft()
        try:
            with (
                Watch(total, first, self._clock.interrupted) as watch,
                closing(self._transport.post("/chat/completions", call.body, watch)) as chunks,
            ):
                draft = receive(chunks, draft, watch, call.on_text)
                return finished(draft)
        except TryError as failure:
            failure.answered = draft.choices > 0
            failure.output_chars = draft.chars
            failure.raw = self._transport.hide(failure.raw)
            raise

    def _reply(self, draft: Draft, call: _Call, latency_s: float) -> Reply:
        usage = read_usage(draft.usage) or self._estimate(draft.chars, call)
        cost, source = cost_of(usage, self.target.model.price, draft.reported_usd)
        return Reply(
            text=draft.full_text(),
            calls=tuple(part.finished() for part in draft.calls),
            finish_reason=draft.finish_reason or "",
            usage=usage,
            cost_usd=cost + call.wasted_usd,
            cost_source="estimated" if call.wasted_usd else source,
            generation_id=draft.generation_id,
            served_by=draft.served_by,
            fallback=draft.fallback,
            tries=call.tries,
            latency_s=latency_s,
        )

    def _estimate(self, output_chars: int, call: _Call) -> Usage:
        output = self.counter.count_chars(output_chars)
        return Usage(input_tokens=call.prompt(), output_tokens=output, exact=False)

    def _wasted(self, failure: TryError, call: _Call) -> float:
        if not failure.answered:
            return 0.0
        return priced(self._estimate(failure.output_chars, call), self.target.model.price)


def _final(failure: TryError, tries: int, cost_usd: float) -> ModelError:
    message = f"{failure} ({tries} tries)" if tries > 1 else str(failure)
    error = ModelError(
        message,
        kind=failure.model_kind,
        mend=failure.mend,
        status=failure.status,
        retry_after_s=failure.retry_after_s,
        raw=failure.raw,
    )
    error.cost_usd = cost_usd
    return error


def _context(entry: Mapping[str, Any]) -> int:
    sizes = (count(entry.get(name)) for name in _CONTEXT_NAMES)
    return next((size for size in sizes if size), 0)
