"""The sources of the configuration: precedence, origins, and what a repository may not do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.config import DEFAULT_BUDGET_USD, DEFAULT_STEPS, REPOSITORY_KEYS, Settings
from ostro.agent.config_sources import load, user_file
from ostro.agent.errors import ConfigError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "user")}


def write_user_file(environ: dict[str, str], text: str) -> Path:
    path = user_file(environ)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_load_without_sources_gives_the_defaults(environ: dict[str, str]) -> None:
    found = load(None, {}, environ)
    assert found.settings.steps == DEFAULT_STEPS
    assert set(found.origins) == set(Settings.model_fields)
    assert set(found.origins.values()) == {"default"}


def test_load_when_every_source_speaks_takes_the_latest_and_names_it(tmp_path: Path, environ: dict[str, str]) -> None:
    path = write_user_file(environ, 'steps = 90\nmodel = "user"\nmemory = "2g"\nimage = "user-image"\n')
    (tmp_path / "ostro.toml").write_text('steps = 80\nimage = "own"\n')
    environ |= {"OSTRO_STEPS": "70", "OSTRO_MODEL": "variable"}
    found = load(tmp_path, {"steps": 60, "model": None}, environ)
    settings = found.settings
    assert (settings.steps, settings.model, settings.memory, settings.image) == (60, "variable", "2g", "own")
    assert found.origins["steps"] == "--steps"
    assert found.origins["model"] == "OSTRO_MODEL"
    assert found.origins["memory"] == str(path)
    assert found.origins["image"] == str(tmp_path / "ostro.toml")


def test_repository_when_it_raises_a_limit_is_ignored_with_a_warning(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "ostro.toml").write_text("budget = 100.0\nsteps = 10\ntokens = 5000\n")
    found = load(tmp_path, {}, environ)
    assert found.settings.budget == DEFAULT_BUDGET_USD
    assert found.settings.steps == 10
    assert found.settings.tokens == 5000
    assert any("budget" in warning and "not raise" in warning for warning in found.warnings)


def test_repository_when_the_user_set_a_lower_limit_keeps_the_users(tmp_path: Path, environ: dict[str, str]) -> None:
    write_user_file(environ, "steps = 5\n")
    (tmp_path / "ostro.toml").write_text("steps = 10\n")
    assert load(tmp_path, {}, environ).settings.steps == 5


@pytest.mark.parametrize("key", sorted(set(Settings.model_fields) - REPOSITORY_KEYS))
def test_repository_key_when_not_on_the_allow_list_is_ignored(
    key: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "ostro.toml").write_text(f'{key} = "evil"\n')
    found = load(tmp_path, {}, environ)
    assert getattr(found.settings, key) == getattr(load(None, {}, environ).settings, key)
    assert len(found.warnings) == 1


def test_repository_key_when_it_is_misspelt_then_the_warning_names_the_setting(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "ostro.toml").write_text('tests = "pytest -q"\n')
    (warning,) = load(tmp_path, {}, environ).warnings
    assert warning.endswith("tests is ignored: there is no such setting; did you mean test?")


def test_repository_when_pyproject_has_a_section_reads_it(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.ostro]\ntest = "tox"\nsetup = ["a", "b c"]\n')
    settings = load(tmp_path, {}, environ).settings
    assert settings.test == "tox"
    assert settings.setup == ("a", "b c")


def test_repository_when_its_pyproject_is_broken_is_none_of_our_business(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ostro\n")
    assert load(tmp_path, {}, environ).settings == load(None, {}, environ).settings


def test_repository_when_its_file_is_a_link_is_not_followed(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "secret.toml").write_text('image = "from outside"\n')
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "ostro.toml").symlink_to(tmp_path / "secret.toml")
    found = load(repository, {}, environ)
    assert found.settings.image is None
    assert "symbolic link" in found.warnings[0]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OSTRO_STEPS": "many"}, "OSTRO_STEPS"),
        ({"OSTRO_BUDGET": "-1"}, "OSTRO_BUDGET"),
        ({"OSTRO_PRICE": "1"}, "PRICE"),
    ],
)
def test_environment_when_a_value_cannot_be_used_names_the_variable(
    variables: dict[str, str], named: str, environ: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=named):
        load(None, {}, environ | variables)


def test_environment_when_a_name_is_mistyped_warns(environ: dict[str, str]) -> None:
    found = load(None, {}, environ | {"OSTRO_BUGDET": "1", "OSTRO_API_KEY": "k", "OSTRO_MODEL": ""})
    assert found.warnings == ("OSTRO_BUGDET is no setting and is ignored; did you mean OSTRO_BUDGET?",)
    assert found.origins["model"] == "default"


def test_environment_when_test_is_empty_means_no_tests(environ: dict[str, str]) -> None:
    assert load(None, {}, environ | {"OSTRO_TEST": ""}).settings.test == ""


def test_user_file_when_a_key_is_unknown_suggests_the_right_one(environ: dict[str, str]) -> None:
    path = write_user_file(environ, "step = 3\n")
    with pytest.raises(ConfigError, match=str(path)) as caught:
        load(None, {}, environ)
    assert "'steps'" in caught.value.mend


@pytest.mark.parametrize("content", [b"steps = \n", b'model = "\xff"\n'])
def test_user_file_when_it_is_not_toml_is_one_clear_error(content: bytes, environ: dict[str, str]) -> None:
    path = write_user_file(environ, "")
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(None, {}, environ)


def test_settings_when_made_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTRO_STEPS", "3")
    assert Settings().steps == DEFAULT_STEPS


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_price_as_text_or_as_numbers_is_the_same(price_in: float, price_out: float) -> None:
    text = load(None, {"price": f"{price_in},{price_out}"}, {"HOME": "/nonexistent"}).settings.price
    assert text == (price_in, price_out)


def test_policy_when_the_user_sets_levels_then_they_hold_and_a_repository_cannot(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    write_user_file(environ, '[policy]\nci = "reported"\n')
    (tmp_path / "ostro.toml").write_text('[policy]\nhook = "allowed"\n')
    found = load(tmp_path, {}, environ)
    assert found.settings.policy == {"ci": "reported"}
    assert any("policy is ignored" in warning for warning in found.warnings)
    environ["OSTRO_POLICY"] = "ci=allowed, hook=refused"
    assert load(None, {}, environ).settings.policy == {"ci": "allowed", "hook": "refused"}


@pytest.mark.parametrize("value", ["path=allowed", "nonsense=reported", "ci=maybe", "ci"])
def test_policy_when_a_rule_or_level_is_unknown_then_one_line_says_so(environ: dict[str, str], value: str) -> None:
    with pytest.raises(ConfigError, match="OSTRO_POLICY: policy cannot be"):
        load(None, {}, environ | {"OSTRO_POLICY": value})
