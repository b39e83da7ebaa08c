"""What a run was asked to do, kept in its folder before anything starts: all that `ostro resume` has beside the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ostro.agent.config import Settings
from ostro.agent.errors import StorageError, UsageError
from ostro.agent.record.files import write_whole
from ostro.agent.record.redact import STAND_IN, redact_json
from ostro.agent.task import Task
from ostro.agent.version import ostro_version

REQUEST_FILE = "request.json"
REPORT_FILE = "report.json"
SCHEMA = 1

TestSource = Literal["flag", "config", "detected", "none"]


Delivery = Literal["branch", "patch"]


class StoredRequest(BaseModel):
    """The content of `request.json`.

    Attributes:
        repository: absolute path of the user's checkout.
        settings: the effective configuration; keys and other secrets are no part of it.
        test_source: where `settings.test` came from.
        warnings: of the front end, for the summary.
        deliver: what the run ends with, see `agent.session.RunRequest`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    ostro_version: str = Field(default_factory=ostro_version)
    run_id: str
    repository: Path
    task: Task
    settings: dict[str, JsonValue]
    test_source: TestSource = "config"
    warnings: tuple[str, ...] = ()
    deliver: Delivery = "branch"

    def configuration(self, **changes: object) -> Settings:
        """Return the settings with `changes`.

        Raises:
            UsageError: a value cannot be used; or it held a secret, which is not stored.
        """
        hidden = [name for name, value in self.settings.items() if STAND_IN in json.dumps(value)]
        if hidden:
            raise UsageError(
                f"the setting {hidden[0]} of this run held a secret value, which is not stored",
                mend="Start the run anew; name a variable in the command instead of its value.",
            )
        try:
            return Settings.model_validate({**self.settings, **changes})
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"{'.'.join(map(str, first['loc']))} cannot be used: {first['msg']}") from error


def write_request(folder: Path, request: StoredRequest, redact: Callable[[str], str]) -> None:
    """Keep the request in the run folder, without any known secret.

    Raises:
        StorageError: it cannot be written.
    """
    data = redact_json(request.model_dump(mode="json", by_alias=True), redact)
    write_whole(folder / REQUEST_FILE, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode())


def read_request(folder: Path) -> StoredRequest:
    """Return the request of a run.

    Raises:
        UsageError: the folder holds no run, or one that a newer Ostro made.
        StorageError: the file cannot be read.
    """
    path = folder / REQUEST_FILE
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        schema = data.get("schema")
        if schema != SCHEMA:
            writer = data.get("ostro_version", "of unknown version")
            raise UsageError(
                f"{path} has schema {schema}, written by Ostro {writer}; this version reads schema {SCHEMA}",
                kind="schema",
                mend="Use the version of Ostro that began the run.",
            )
        return StoredRequest.model_validate(data)
    except FileNotFoundError as error:
        raise UsageError(f"{folder} holds no run that could be resumed: {REQUEST_FILE} is missing") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise StorageError(f"{path} is damaged: {str(error).splitlines()[0]}", kind="damaged") from error
