"""The default image, and an image made of Debian packages alone."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from ostro.sandbox import image
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.image import BASE_TAG, build_image, default_image, finish_tree, import_tree
from ostro.sandbox.protocol import SandboxError


def test_default_image_when_the_own_one_is_there_is_that() -> None:
    assert default_image(lambda name: name == BASE_TAG) == BASE_TAG
    assert default_image(lambda name: name == "mine:1", tag="mine:1", language="go") == "mine:1"


@pytest.mark.parametrize(
    ("language", "expected"), [("python", "python:3.11-bookworm"), ("cobol", "python:3.11-bookworm")]
)
def test_default_image_without_an_own_one_goes_by_language(language: str, expected: str) -> None:
    assert default_image(lambda _: False, language=language) == expected


def test_finish_tree_drops_the_package_cache_and_names_the_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    cache = tmp_path / "var/cache/apt/archives"
    cache.mkdir(parents=True)
    (cache / "git.deb").write_text("x")
    finish_tree(tmp_path)
    assert (tmp_path / "etc/passwd").read_text().endswith("ostro:x:1000:1000::/ostro/home:/bin/sh\n")
    assert (tmp_path / "etc/group").read_text().endswith("ostro:x:1000:\n")
    assert list(cache.iterdir()) == []


@pytest.mark.docker
def test_import_tree_makes_an_image_that_the_engine_holds(tmp_path: Path) -> None:
    engine = Engine.connect()
    tag = f"ostro-test/tree:{secrets.token_hex(4)}"
    (tmp_path / "hello").write_text("x")
    try:
        made = import_tree(engine, tmp_path, tag)
        found = engine.image(tag)
        assert found is not None
        assert (found.id, found.env.get("LANG")) == (made, "C.UTF-8")
    finally:
        engine.remove_image(tag)
        engine.close()


@pytest.mark.docker
def test_import_tree_when_it_cannot_be_packed_leaves_no_image(tmp_path: Path) -> None:
    engine = Engine.connect()
    tag = f"ostro-test/tree:{secrets.token_hex(4)}"
    try:
        with pytest.raises(SandboxError) as caught:
            import_tree(engine, tmp_path / "missing", tag)
        assert caught.value.kind == "image"
        assert engine.image(tag) is None
    finally:
        engine.remove_image(tag)
        engine.close()


@pytest.mark.docker
def test_build_image_without_debootstrap_gives_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = Engine.connect()
    with pytest.raises(SandboxError, match="debootstrap is not installed") as caught:
        build_image(engine)
    engine.close()
    assert caught.value.mend == "Install it: sudo apt-get install debootstrap"


@pytest.mark.docker
def test_build_image_without_root_gives_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "debootstrap").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "debootstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    engine = Engine.connect()
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(SandboxError, match="needs root") as caught:
            build_image(engine)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    engine.close()
    assert caught.value.mend == "Run it as root: sudo ostro image build"


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root")
def test_build_image_from_packages_has_them() -> None:
    engine = Engine.connect()
    tag = f"ostro-test/built:{secrets.token_hex(4)}"
    said: list[str] = []
    try:
        build_image(engine, tag, ["jq"], say=said.append)
        done = subprocess.run(
            [
                "docker",
                "run",
                "--rm",
                "--network",
                "none",
                "--user",
                "1000",
                tag,
                "sh",
                "-c",
                "whoami; jq --version; git --version",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("ostro\njq-")
        assert len(said) == 2
    finally:
        engine.remove_image(tag)
        engine.close()


@pytest.mark.docker
@pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root")
def test_build_image_when_a_package_is_unknown_says_what_debootstrap_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "BASE_PACKAGES", ())
    engine = Engine.connect()
    with pytest.raises(SandboxError, match="debootstrap failed") as caught:
        build_image(engine, "ostro-test/never:1", suite="nosuchsuite")
    engine.close()
    assert caught.value.kind == "image"
