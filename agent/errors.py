"""Every exception that Ostro raises on purpose, one tree.

OstroError                 a message (what, where) and a mend; `exit_code` as in docs/cli.md
├── UsageError             2   bad input: a flag, a file, an issue
│   ├── ConfigError        2   a configuration file or variable
│   └── IssueError         2   the issue cannot be read
├── ModelError             4   the endpoint or the model; `kind` says how
├── PreflightError         5   the environment is not fit to start in
├── StorageError           6   the run folder cannot be written
├── ForgeError             7   the forge refuses, or does not answer; `kind` says how
└── Interrupted            130 a signal asked us to stop

The sandbox has its own root, `ostro.sandbox.SandboxError` (5), with `RepositoryError` (2) below it.
Only a boundary (a command of cli/, a worker of a batch, the tool intake) turns these into outcomes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ostro.agent.checks import Check

ModelErrorKind = Literal[
    "auth",  # 401, 403: no key, a wrong key
    "credit",  # 402, or a text that speaks of balance, quota or a card
    "gone",  # 404 or model_not_found: retired or unknown model
    "invalid",  # 400, 422: our request is refused
    "overflow",  # the prompt does not fit the context
    "rate",  # 429
    "transient",  # 408, 409, 5xx, an overloaded server
    "template",  # a chat template that raised
    "unreachable",  # no connection, no DNS name, TLS, time-out
    "protocol",  # an answer that is not a chat completion
    "content_filter",  # the endpoint refused to answer
]


class OstroError(Exception):
    """Root of the tree.

    Attributes:
        kind: short machine-readable name, for the `error.kind` of JSON output.
        mend: one sentence on what to do; empty when there is nothing.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, kind: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.kind = kind or type(self).__name__
        self.mend = mend


class UsageError(OstroError):
    """The user asked for something that cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file, variable or flag has a value that cannot be used."""


class IssueError(UsageError):
    """The issue is missing, too large, not text, or cannot be fetched."""


class ModelError(OstroError):
    """The model endpoint failed for good, after the retries that its class allows.

    Attributes:
        status: HTTP status, None when no answer came.
        retry_after_s: what the server asked for, seconds.
        raw: what the server sent, capped and redacted, for the log.
        cost_usd: estimate of what the failed requests of the call were billed.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        kind: ModelErrorKind,
        mend: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
        raw: str = "",
    ) -> None:
        super().__init__(message, kind=kind, mend=mend)
        self.model_kind: ModelErrorKind = kind
        self.status = status
        self.retry_after_s = retry_after_s
        self.raw = raw
        self.cost_usd = 0.0


class PreflightError(OstroError):
    """A check before the first token failed: an infrastructure status, never a zero score.

    Attributes:
        checks: every check that was made, the failed ones among them.
    """

    exit_code = 5

    def __init__(self, message: str, *, mend: str = "", checks: tuple[Check, ...] = ()) -> None:
        super().__init__(message, kind="preflight_failed", mend=mend)
        self.checks = checks


class StorageError(OstroError):
    """The run folder or OSTRO_HOME cannot be written (read-only, full, failing disk)."""

    exit_code = 6


ForgeErrorKind = Literal[
    "auth",  # 401: no token, a wrong or an expired one
    "forbidden",  # 403: the token may not do this
    "missing",  # 404, 410: it does not exist, or the token may not see it
    "moved",  # 301, 302, 307, 308: it is elsewhere by now
    "conflict",  # 409
    "invalid",  # 400, 422: our request is refused
    "rate",  # a rate limit that does not end soon
    "lost",  # no answer, or one that does not say whether the request was carried out
    "protocol",  # an answer of another shape
]


class ForgeError(OstroError):
    """A forge (GitHub, GitLab, Gitea) refused a request, or gave no answer after the retries that its class allows.

    Attributes:
        status: of the answer; None when none came.
    """

    exit_code = 7

    def __init__(self, message: str, *, kind: ForgeErrorKind, mend: str = "", status: int | None = None) -> None:
        super().__init__(message, kind=kind, mend=mend)
        self.forge_kind: ForgeErrorKind = kind
        self.status = status


class Interrupted(OstroError):  # noqa: N818  # a request, not a failure
    """SIGINT or SIGTERM asked the run to stop; it can be resumed."""

    exit_code = 130
