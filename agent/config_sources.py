"""Read the sources of the configuration and merge them, remembering where each value came from.

Called once at the front door (cli/) and by the harness; everything below gets the merged `Settings`.
A target repository is untrusted: it may set `REPOSITORY_KEYS` only, and lower a limit but never raise it.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ostro.agent.config import LIMIT_KEYS, REPOSITORY_KEYS, Settings
from ostro.agent.errors import ConfigError
from ostro.sandbox.plain_data import as_table

MAX_FILE_BYTES = 256 * 1024
ENV_PREFIX = "OSTRO_"


@dataclass(frozen=True)
class Source:
    """The values of one source: a file, the environment or the command line.

    Attributes:
        origins: key -> what `ostro config` prints: a path, a variable or a flag.
    """

    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """The effective settings, where each came from, and what was ignored on the way."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def load(
    repository: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """Merge defaults, user file, repository file, environment and flags; later ones win.

    Args:
        repository: the target repository's folder; None where there is none (yet).
        flags: values of the command line; a None means that the flag was not given.
        environ: variables; the process's own by default.

    Raises:
        ConfigError: a value or file cannot be used; the message names the source.
    """
    environ = os.environ if environ is None else environ
    user = read_user_file(environ)
    given = from_flags(flags or {})
    own = Source() if repository is None else read_repository(repository, below=_checked([user]))
    sources = [user, own, from_environment(environ), given]
    settings = _checked(sources)
    origins = dict.fromkeys(Settings.model_fields, "default")
    for source in sources:
        origins |= source.origins
    return Configuration(settings, origins, tuple(text for source in sources for text in source.warnings))


def user_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the user's own file, whether it exists or not."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".config")
    return Path(base) / "ostro" / "config.toml"


def read_user_file(environ: Mapping[str, str]) -> Source:
    """Read ~/.config/ostro/config.toml; every key of `Settings` is allowed."""
    path = user_file(environ)
    table = _read_toml(path)
    unknown = [key for key in table if key not in Settings.model_fields]
    if unknown:
        raise ConfigError(f"{path}: {unknown[0]!r} is no setting", mend=_suggestion(unknown[0]))
    return Source(table, dict.fromkeys(table, str(path)))


def read_repository(repository: Path, below: Settings) -> Source:
    """Read what a target repository asks for, and take the harmless part of it.

    Args:
        repository: its working tree.
        below: the settings of the sources that come before; limits must not exceed them.
    """
    path = repository / "ostro.toml"
    if path.is_symlink():
        return Source(warnings=(f"{path.name} of the repository is ignored: it is a symbolic link",))
    table: Mapping[str, Any] = _read_toml(path)
    if not table:
        path = repository / "pyproject.toml"
        table = {} if path.is_symlink() else _own_section(_read_toml(path, strict=False))
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in table.items():
        reason = _refusal(key, value, below)
        if reason:
            warnings.append(f"{path.name} of the repository: {key} is ignored: {reason}")
        else:
            values[key] = value
    source = Source(values, dict.fromkeys(values, str(path)), tuple(warnings))
    _checked([source])
    return source


def from_environment(environ: Mapping[str, str]) -> Source:
    """Take `OSTRO_<SETTING>`; an empty variable counts as unset, but for `OSTRO_TEST`, where it means no tests."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key in Settings.model_fields:
        name = ENV_PREFIX + key.upper()
        value = environ.get(name)
        if value or (value is not None and key == "test"):
            values[key], origins[key] = value, name
    return Source(values, origins, tuple(_typing_errors(environ)))


def from_flags(flags: Mapping[str, Any]) -> Source:
    """Take the flags that were given."""
    values = {key: value for key, value in flags.items() if value is not None}
    return Source(values, {key: "--" + key.replace("_", "-") for key in values})


def _typing_errors(environ: Mapping[str, str]) -> list[str]:
    known = [ENV_PREFIX + key.upper() for key in Settings.model_fields]
    found: list[str] = []
    for name in environ:
        if name.startswith(ENV_PREFIX) and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.9)
            found += [f"{name} is no setting and is ignored; did you mean {near[0]}?"] if near else []
    return found


def _refusal(key: str, value: object, below: Settings) -> str:
    """Say why a repository may not set `key` to `value`; "" when it may."""
    if key not in Settings.model_fields:
        near = get_close_matches(key, Settings.model_fields, n=1)
        return "there is no such setting" + (f"; did you mean {near[0]}?" if near else "")
    if key not in REPOSITORY_KEYS:
        return "a repository may not set it; use the environment, a flag or your own configuration file"
    limit = getattr(below, key)
    if key not in LIMIT_KEYS or limit is None:
        return ""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"{value!r} is not a number"
    return f"a repository may lower this limit ({limit:g}), not raise it to {value:g}" if value > limit else ""


def _checked(sources: list[Source]) -> Settings:
    """Merge and validate; a complaint names the source of the value."""
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source in sources:
        merged |= source.values
        origins |= source.origins
    if isinstance(merged.get("home"), str | Path):
        merged["home"] = Path(merged["home"]).expanduser().absolute()
    try:
        return Settings(**merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise ConfigError(
            f"{origins.get(key, key)}: {key} cannot be {merged.get(key)!r}: {first['msg']}",
            mend=str(Settings.model_fields[key].description),
        ) from error


def _suggestion(key: str) -> str:
    near = get_close_matches(key, Settings.model_fields, n=1)
    return f"Did you mean {near[0]!r}?" if near else "`ostro config` lists the settings."


def _own_section(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_table(as_table(table.get("tool")).get("ostro"))


def _read_toml(path: Path, *, strict: bool = True) -> dict[str, Any]:
    """Read one file; {} where there is none. No FIFO, device or giant is read.

    Args:
        path: the file.
        strict: False where a broken file is somebody else's business (a project's pyproject.toml).
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", mend="Check its permissions.") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
        if not strict:
            return {}
        raise ConfigError(f"{path} is not a regular file of at most {MAX_FILE_BYTES} bytes", mend="Replace it.")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        if not strict:
            return {}
        raise ConfigError(f"{path} cannot be read: {error}", mend="It must be TOML in UTF-8.") from error
