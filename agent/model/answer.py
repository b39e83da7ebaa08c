"""Receives one answer while it arrives, and says whether it is whole.

The SDK's own stream takes a connection that was cut for an end; here an answer without a finish_reason is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ostro.agent.model.failure import TryError
from ostro.agent.model.reading import DONE, Draft, EventReader, read_event, read_whole, unusable
from ostro.agent.model.transport import Watch

OnText = Callable[[str], None]

DRAIN_S = 1.0
"""How long a server may take to end its answer after `[DONE]`, so that the connection can be used again."""
_EVENT_STARTS = b"deir:"
"""First bytes of `data:`, `event:`, `id:`, `retry:` and of a comment."""


def receive(chunks: Iterator[bytes], draft: Draft, watch: Watch, on_text: OnText | None) -> Draft:
    """Fill the draft from an answer, as events or as one object, whatever was asked for.

    Raises:
        TryError: it is no answer, or it broke off before its end; `draft` holds what had arrived.
    """
    head = b""
    for data in chunks:
        head += data
        if head.strip():
            break
    if head.lstrip()[:1] not in _EVENT_STARTS or not head.strip():
        return read_whole(head + b"".join(chunks))
    reader = EventReader()
    try:
        _take(reader.feed(head), draft, watch, on_text)
        for data in chunks:
            _take(reader.feed(data), draft, watch, on_text)
        _take(reader.feed(b"", final=True), draft, watch, on_text)
    except TryError as failure:
        # After the finish_reason nothing of the answer is missing, only the connection is lost.
        if draft.finish_reason is None or failure.cause == "error_object":
            raise
    return draft


def _take(events: Sequence[str], draft: Draft, watch: Watch, on_text: OnText | None) -> None:
    for data in events:
        if data.strip() == DONE:
            watch.last_call(DRAIN_S)
            continue
        event = read_event(data)
        added = draft.add(event, data) if event is not None else ""
        if added and on_text is not None:
            on_text(added)


def finished(draft: Draft) -> Draft:
    """Return the draft if it is a finished answer.

    Raises:
        TryError: it was cut off, refused by a filter, or ended by an error.
    """
    if draft.finish_reason is None:
        cause = "cut" if draft.choices else "empty_choices"
        raise unusable("an incomplete answer", cause, draft.full_text())
    if draft.finish_reason == "content_filter":
        raise TryError("the endpoint's content filter refused to answer", kind="content_filter", cause="content_filter")
    if draft.finish_reason == "error":
        raise TryError(
            "the endpoint broke off its answer with an error",
            kind="transient",
            cause="finish_error",
            raw=draft.full_text(),
        )
    return draft
