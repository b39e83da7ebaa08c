"""The host's index, proxy and CA settings, as set-up inside a sandbox gets them: never with a credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostro.sandbox.registries import HostRegistries, host_registries


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def read(home: Path, **environ: str) -> HostRegistries:
    return host_registries({"XDG_CONFIG_DIRS": str(home / "xdg"), **environ}, home)


def test_index_when_set_in_the_environment_then_passed_and_allowed_even_if_private(tmp_path: Path) -> None:
    found = read(tmp_path, PIP_INDEX_URL="http://10.0.0.5:3141/root/pypi/+simple/")
    assert found.variables["PIP_INDEX_URL"] == "http://10.0.0.5:3141/root/pypi/+simple/"
    assert found.variables["UV_DEFAULT_INDEX"] == found.variables["PIP_INDEX_URL"]
    entry = found.rules.entry_for("10.0.0.5", 3141)
    assert entry is not None
    assert entry.private
    assert entry.source == "this host's PIP_INDEX_URL"
    assert found.rules.entry_for("10.0.0.5", 22) is None


def test_index_when_it_holds_a_credential_then_that_is_left_out_and_said(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        PIP_INDEX_URL="https://me:hunter2@index.example/simple",
        GOPROXY="https://tok:hunter2@go.example,direct",
    )
    assert found.variables["PIP_INDEX_URL"] == "https://index.example/simple"
    assert found.variables["GOPROXY"] == "https://go.example,direct"
    assert "hunter2" not in repr(found)
    assert any("PIP_INDEX_URL" in note and "index.example" in note for note in found.notes)


def test_index_when_in_pip_conf_then_the_more_particular_file_wins(tmp_path: Path) -> None:
    for folder, url in (("xdg", "https://global.example/"), (".config", "https://user.example/")):
        path = tmp_path / folder / "pip" / "pip.conf"
        path.parent.mkdir(parents=True)
        path.write_text(f"[global]\nindex-url = {url}\n")
    assert read(tmp_path).variables["PIP_INDEX_URL"] == "https://user.example/"
    assert read(tmp_path, PIP_INDEX_URL="https://env.example/").variables["PIP_INDEX_URL"] == "https://env.example/"


def test_index_when_it_is_a_folder_of_this_host_then_only_for_who_can_see_it(tmp_path: Path) -> None:
    home, wheels = tmp_path / "home", tmp_path / "wheels"
    home.mkdir()
    wheels.mkdir()
    found = read(home, PIP_FIND_LINKS=f"{wheels} https://links.example/", PIP_EXTRA_INDEX_URL=f"file://{wheels}")
    assert found.variables["PIP_FIND_LINKS"] == "https://links.example/"
    assert "PIP_EXTRA_INDEX_URL" not in found.variables
    assert found.local_paths["PIP_FIND_LINKS"] == f"{wheels} https://links.example/"
    assert found.folders == (wheels,)


def test_folder_when_it_holds_the_home_then_never_shown(tmp_path: Path) -> None:
    assert read(tmp_path / "home", PIP_FIND_LINKS=str(tmp_path)).folders == ()


def test_npm_when_npmrc_has_a_registry_and_a_token_then_only_the_registry(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("//npm.example/:_authToken=hunter2\nregistry = https://npm.example/\n")
    found = read(tmp_path)
    assert found.variables["npm_config_registry"] == "https://npm.example/"
    assert found.rules.entry_for("npm.example", 443) is not None
    assert "hunter2" not in repr(found)


def test_ca_bundle_when_the_environment_names_one_then_that(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    assert read(tmp_path, SSL_CERT_FILE=str(tmp_path / "missing"), PIP_CERT=str(bundle)).ca_bundle == bundle


def test_proxy_when_it_is_not_http_then_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hunter2@proxy.example:1080")
    found = read(tmp_path)
    assert found.rules.upstream is None
    assert "socks5" in found.notes[0]
    assert "hunter2" not in repr(found)


def test_settings_when_files_are_broken_then_the_public_registries_remain(tmp_path: Path) -> None:
    path = tmp_path / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe[glob\nindex-url")
    found = read(tmp_path)
    assert "PIP_INDEX_URL" not in found.variables
    assert found.rules.entry_for("pypi.org", 443) is not None
