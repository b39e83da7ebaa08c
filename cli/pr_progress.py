"""The progress of a run in the log of a CI job, which is read by a machine, too."""

from __future__ import annotations

from ostro.cli.render import Progress
from ostro.forge.job_output import inert_log_line


class LoggedProgress(Progress):
    """Shows events; what a model or a command says is no workflow command of the job."""

    def _put(self, text: str) -> None:
        super()._put(inert_log_line(text))
