"""The task of a run: an issue after it was read, before a model sees it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ostro.agent.history import Image


class Task(BaseModel):
    """What is to be done, whoever reported it.

    Attributes:
        title: one line; names the branch and the commit.
        text: the body, sanitised (agent/untrusted.py) but not yet fenced.
        source: where it came from: a path, a URL, `stdin` or `--task`.
        number: of the issue, where it has one; decides the branch `ostro/issue-<n>`.
        url: for the commit's trailer; "" where there is none.
        images: pictures of the issue that passed the checks.
        warnings: what had to be changed or left out on the way in, for the summary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    text: str
    source: str
    number: int | None = None
    url: str = ""
    images: tuple[Image, ...] = ()
    warnings: tuple[str, ...] = ()
