"""The last correction of a model that makes no calls any more: a short conversation, and one question it can answer.

Small models lose themselves in what they were shown and repeat it. Asked once for a corrected file they solve tasks
that they never solve by calls (benchmarks/small_model.py measures both), so the last of the corrections takes out of
the history what followed the task, shows the last file that was looked at, and asks for the whole of it, corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

from ostro.agent.history import AssistantMessage
from ostro.prompts.render import render
from ostro.tools.files import shorten
from ostro.tools.protocol import ToolContext

MAX_FILE_BYTES = 6_000
"""A longer file is not asked for as a whole."""

TITLE_CHARS = 1_000

LOOKED = AssistantMessage(text="I have looked at the code.")
"""What stands in the history for everything between the task and the question."""


@dataclass(frozen=True)
class FreshLook:
    """The question.

    Attributes:
        path: of the file that it asks for, as the model knows it.
    """

    path: str
    text: str


def fresh_look(tools: ToolContext, title: str) -> FreshLook | None:
    """Return the question, or None.

    There is none where something is changed, no file was looked at, or the last one is too long or no text.

    Args:
        tools: know which file the model saw last.
        title: of the task.

    Raises:
        SandboxError: the sandbox is gone.
    """
    path = next(reversed(tools.state.seen), "")
    if not path or tools.sandbox.patch():
        return None
    try:
        text = tools.sandbox.read(path, max_bytes=MAX_FILE_BYTES).decode("utf-8")
    except (OSError, ValueError):
        return None
    if "```" in text or tools.redact(text) != text:
        return None  # an answer could not be told from the file, or would write the stand-in of a secret into it
    shown = shorten(path, tools)
    return FreshLook(
        shown, render("fresh_look.j2", title=title[:TITLE_CHARS], path=shown, text=text.removesuffix("\n"))
    )
