"""The flags --model, --endpoint and --price, and what is said when they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from ostro.agent.errors import ConfigError, ModelError, UsageError
from ostro.agent.model.catalogue import Catalogue, find_endpoint, load_catalogue, resolve, user_files
from ostro.agent.model.profile import read_key


@pytest.mark.parametrize(
    "name", ["mistral/devstral-small-2", "devstral-small-2", "Devstral-Small-2", "devstral-small-2512"]
)
def test_resolve_when_given_id_slug_or_alias_then_the_gateways_id(name: str) -> None:
    target = resolve(name, "vercel")
    assert target.model.id == "mistral/devstral-small-2"
    assert (target.model.price.input, target.model.price.output) == (0.10, 0.30)
    assert target.model.vision
    assert target.profile.base_url == "https://ai-gateway.vercel.sh/v1"


@pytest.mark.parametrize(("wrong", "right"), [("mistral/devstral-smal-2", "mistral/devstral-small-2")])
def test_resolve_when_the_model_is_misspelt_then_the_right_id_is_suggested(wrong: str, right: str) -> None:
    for price in (None, (0.1, 0.3)):
        with pytest.raises(UsageError) as caught:
            resolve(wrong, "vercel", price)
        assert f"Did you mean {right}?" in caught.value.mend


def test_resolve_when_the_model_is_unknown_then_a_price_admits_it() -> None:
    with pytest.raises(UsageError, match="unknown model 'acme/tower-9'"):
        resolve("acme/tower-9", "vercel")
    target = resolve("acme/tower-9", "vercel", (3, 15))
    assert target.model.price.source == "flag"


def test_resolve_when_the_endpoint_does_not_offer_the_model_then_who_does_is_said() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("devstral-small-2", "openrouter")
    assert "vercel (mistral/devstral-small-2)" in caught.value.mend


def test_resolve_when_the_endpoint_is_a_url_then_a_price_is_needed() -> None:
    with pytest.raises(UsageError, match="price"):
        resolve("qwen", "http://localhost:9999/v1")
    target = resolve("qwen", "http://localhost:9999/v1/chat/completions", (0, 0))
    assert target.profile.base_url == "http://localhost:9999/v1"
    assert target.profile.key_variables == ("OSTRO_API_KEY",)


def test_resolve_when_the_model_behind_a_url_is_known_then_its_facts_are_used() -> None:
    target = resolve("mistralai/Devstral-Small-2-24B-Instruct-2512", "http://gpu:8000/v1", (0, 0))
    assert target.model.context == 262_144
    assert target.model.tokenizer == "v13"


def test_resolve_when_the_server_is_local_then_it_costs_nothing() -> None:
    target = resolve("devstral-small-2", "ollama")
    assert target.model.id == "devstral-small-2:24b"
    assert target.model.price.input == 0
    elsewhere = resolve("devstral-small-2", "vllm+http://gpu:9000/v1")
    assert elsewhere.profile.base_url == "http://gpu:9000/v1"
    assert resolve("anything", "llamacpp").model.id == "anything"


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("versel", "unknown endpoint 'versel'"),
        ("ftp://x/v1", "not an http"),
        ("http:///v1", "not an http"),
        ("https://user:secret@host/v1", "holds a password"),
    ],
)
def test_resolve_when_the_endpoint_is_wrong_then_one_clear_line(endpoint: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        resolve("devstral-small-2", endpoint, (0, 0))
    assert "secret" not in f"{caught.value}{caught.value.mend}"
    assert caught.value.mend


@pytest.mark.parametrize("price", [(-1.0, 0.0), (float("nan"), 0.0), (0.0, float("inf"))])
def test_resolve_when_the_price_is_no_amount_then_refused(price: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="--price"):
        resolve("devstral-small-2", "vercel", price)


def test_read_key_when_several_variables_are_set_then_the_first_wins() -> None:
    profile = resolve("devstral-small-2", "vercel").profile
    variables = {"VERCEL_OIDC_TOKEN": "second", "VERCEL_AI_GATEWAY_API_KEY": "third"}
    assert read_key(profile, variables) == "second"
    assert read_key(profile, {**variables, "AI_GATEWAY_API_KEY": " first "}) == "first"
    assert read_key(profile, {"VERCEL_AI_GATEWAY_API_KEY": "third"}) == "third"


def test_read_key_when_none_is_set_then_auth_error_naming_the_variable() -> None:
    profile = resolve("devstral-small-2", "vercel").profile
    with pytest.raises(ModelError) as caught:
        read_key(profile, {"OPENAI_API_KEY": "not for this endpoint", "OSTRO_API_KEY": "nor this"})
    assert caught.value.model_kind == "auth"
    assert "AI_GATEWAY_API_KEY" in str(caught.value)


def test_read_key_when_the_endpoint_needs_none_then_none() -> None:
    assert read_key(resolve("x", "http://localhost:1/v1", (0, 0)).profile, {}) is None
    assert read_key(resolve("x", "ollama").profile, {}) is None


def test_find_endpoint_when_the_url_is_a_catalogued_one_then_its_own_key_is_used() -> None:
    profile = find_endpoint("https://api.mistral.ai/v1/", load_catalogue())
    assert profile.key_variables == ("MISTRAL_API_KEY",)


def test_load_catalogue_when_the_user_has_files_then_they_override(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "OSTRO_HOME": str(tmp_path / "home")}
    config, home = user_files(environ)
    config.parent.mkdir(parents=True)
    home.parent.mkdir(parents=True)
    config.write_text(
        '[endpoints.lab]\nbase_url = "http://lab:1/v1"\nkey_variables = ["LAB_KEY"]\n'
        '[models.tower]\nname = "Tower"\ncontext = 1000\n[models.tower.offers.lab]\nid = "t"\ninput = 1\noutput = 2\n'
    )
    home.write_text("[models.devstral-small-2.offers.vercel]\ninput = 0.2\n")
    catalogue = load_catalogue((config, home))
    assert resolve("tower", "lab", None, catalogue).model.price.output == 2
    changed = resolve("devstral-small-2", "vercel", None, catalogue).model
    assert (changed.price.input, changed.price.output) == (0.2, 0.3)
    assert resolve("devstral-small-2", "vercel", None, load_catalogue()).model.price.input == 0.1


@pytest.mark.parametrize("text", ["[models", "[models.x]\nnonsense = 1\n", '[models.x]\nname = 1\ncontext = "big"\n'])
def test_load_catalogue_when_a_file_is_wrong_then_it_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"catalogue\.toml"):
        load_catalogue((path,))


def every_entry(catalogue: Catalogue) -> list[str]:
    return [entry.id for endpoint in catalogue.endpoints for entry in catalogue.entries(endpoint)]


def test_bundled_catalogue_when_read_then_every_offer_resolves_to_itself() -> None:
    catalogue = load_catalogue()
    assert len(every_entry(catalogue)) >= 10
    for endpoint in catalogue.endpoints:
        for entry in catalogue.entries(endpoint):
            assert resolve(entry.id, endpoint, None, catalogue).model == entry
