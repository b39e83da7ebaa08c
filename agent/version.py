"""Which Ostro this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def ostro_version() -> str:
    """Return the installed version, `unknown` for a source tree that was never installed."""
    try:
        return version("ostro")
    except PackageNotFoundError:
        return "unknown"
