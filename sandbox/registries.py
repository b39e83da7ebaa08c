"""How this host reaches package registries: its index, proxy and CA settings, without their credentials.

Read on the host from the environment and the tools' own configuration files; turned into rules for the egress proxy
and into variables for the set-up commands inside the sandbox. A credential in an index URL is left out and said.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ostro.sandbox.egress_rules import EgressEntry, EgressRules, upstream_from_environment

_CA_VARIABLES = (
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
CA_SETTINGS = (
    *_CA_VARIABLES,
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "npm_config_cafile",
)
"""The variables by which tools inside are told of the CA bundle."""

_SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Alpine
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class HostRegistries:
    """What set-up inside a sandbox needs to know of this host.

    Attributes:
        rules: for the egress proxy: the public registries, the host's own, its upstream proxy.
        variables: for set-up commands; URLs without credentials, no paths of the host.
        local_paths: variables whose values are folders of this host (`find-links`, `file:` indexes): only for a
            sandbox that can see `folders`.
        folders: those folders.
        ca_bundle: the host's CA file, or None.
        notes: what was left out, for people.
    """

    rules: EgressRules
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    local_paths: Mapping[str, str] = field(default_factory=dict[str, str])
    folders: tuple[Path, ...] = ()
    ca_bundle: Path | None = None
    notes: tuple[str, ...] = ()


def host_registries(environ: Mapping[str, str] | None = None, home: Path | None = None) -> HostRegistries:
    """Read the settings of this host. What cannot be used becomes a note, never an error."""
    environ = os.environ if environ is None else environ
    home = home or Path.home()
    notes: list[str] = []
    try:
        upstream, no_proxy = upstream_from_environment()
    except ValueError as error:
        upstream, no_proxy = None, ""
        notes.append(f"{error}; set-up goes to the registries directly")
    settings = {**_pip_settings(environ, home), **_other_settings(environ, home)}
    sorted_out = [
        _Setting(name, tuple(_without_credentials(value.split(), name, notes))) for name, value in settings.items()
    ]
    folders = dict.fromkeys(folder for setting in sorted_out for folder in setting.folders)
    return HostRegistries(
        rules=EgressRules((*_entries(sorted_out), *EgressRules().entries), upstream, no_proxy),
        variables={setting.name: setting.remote for setting in sorted_out if setting.remote},
        local_paths={setting.name: setting.everything for setting in sorted_out if setting.folders},
        # A folder that holds the user's home would show far more than packages.
        folders=tuple(folder for folder in folders if not home.is_relative_to(folder)),
        ca_bundle=_ca_bundle(environ, home),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Setting:
    """One variable with its words: URLs, folders, or keywords such as Go's `direct`."""

    name: str
    words: tuple[str, ...]

    @property
    def _separator(self) -> str:
        return "," if self.name == "GOPROXY" else " "

    @property
    def remote(self) -> str:
        return self._separator.join(word for word in self.words if _folder(word) is None)

    @property
    def everything(self) -> str:
        return self._separator.join(self.words)

    @property
    def folders(self) -> tuple[Path, ...]:
        found = [folder for word in self.words if (folder := _folder(word)) is not None and folder.is_dir()]
        # The pages of a file index (PEP 503) usually link to files beside it: ../../files/x.whl.
        return tuple(folder.parent if folder.name == "simple" else folder for folder in found)


def _folder(word: str) -> Path | None:
    parts = urlsplit(word)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(word) if not parts.scheme and word.startswith("/") else None


def _entries(settings: Iterable[_Setting]) -> Iterator[EgressEntry]:
    """Allow the hosts of the host's own settings, private addresses included: the user chose them."""
    for setting in settings:
        for word in setting.words:
            parts = urlsplit(word)
            if parts.scheme in _PORTS and parts.hostname:
                port = parts.port or _PORTS[parts.scheme]
                yield EgressEntry(parts.hostname, (port,), private=True, source=f"this host's {setting.name}")


def _without_credentials(words: Iterable[str], name: str, notes: list[str]) -> Iterator[str]:
    for word in words:
        for part in word.split(",") if name == "GOPROXY" else [word]:
            parts = urlsplit(part)
            if parts.username is None:
                yield part
                continue
            notes.append(f"the credential in {name} is not passed into the sandbox (host {parts.hostname})")
            yield urlunsplit(parts._replace(netloc=_bare_netloc(parts)))


def _bare_netloc(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _pip_settings(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return pip's index settings as variables; the environment wins over user, site and global files, as in pip."""
    options = {"index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL", "find-links": "PIP_FIND_LINKS"}
    found: dict[str, str] = {}
    for section in _pip_sections(environ, home):
        for option, variable in options.items():
            if section.get(option):
                found[variable] = section[option]
    for variable in options.values():
        if environ.get(variable):
            found[variable] = environ[variable]
    uv = {name: environ[name] for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX") if environ.get(name)}
    if "PIP_INDEX_URL" in found and not uv:
        uv = {"UV_DEFAULT_INDEX": found["PIP_INDEX_URL"]}
    return {**found, **uv}


def _pip_sections(environ: Mapping[str, str], home: Path) -> Iterator[Mapping[str, str]]:
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        *(Path(folder, "pip", "pip.conf") for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        config_home / "pip" / "pip.conf",
        Path(sys.prefix, "pip.conf"),
        *([Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []),
    ]
    for path in files:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                yield dict(parser.items(section))


def _other_settings(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    npm = next((environ[name] for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY") if environ.get(name)), "")
    npm = npm or _npmrc(home, "registry")
    found = {"npm_config_registry": npm, "GOPROXY": environ.get("GOPROXY", "")}
    return {name: value for name, value in found.items() if value}


def _npmrc(home: Path, key: str) -> str:
    """Return one key of the user's .npmrc; the lines with tokens are never looked at further."""
    try:
        text = (home / ".npmrc").read_text("utf-8", "replace")
    except OSError:
        return ""
    found = re.search(rf"^\s*{key}\s*=\s*[\"']?([^\s\"']+)", text, re.MULTILINE)
    return found.group(1) if found else ""


def _ca_bundle(environ: Mapping[str, str], home: Path) -> Path | None:
    named = [Path(environ[name]) for name in _CA_VARIABLES if environ.get(name)]
    npm = _npmrc(home, "cafile")
    candidates = [*named, *([Path(npm)] if npm else []), *_SYSTEM_BUNDLES]
    return next((path for path in candidates if path.is_file()), None)
