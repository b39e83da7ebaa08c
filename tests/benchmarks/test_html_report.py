"""The page in the installed Chromium, opened as a file: what it shows, what it does, and what it must never do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.agent.outcome import Ending, Outcome, Tokens
from ostro.agent.record.events import Called, Ended
from ostro.benchmarks.html_page import embedded, packed
from ostro.benchmarks.html_report import evaluation_page, run_page, write_page
from ostro.benchmarks.store import AGENT_RUN, PATCH, TRAJECTORY, instance_folder, read_run
from ostro.benchmarks.summary import summarise
from tests.benchmarks.made_runs import (
    copy_instances,
    make_run,
    observed,
    planned,
    result,
    save,
    started,
    write_log,
)
from tests.browser import Page, browser

ATTACKS = (
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "<!--<script>window.hit = 1",
    "javascript:window.hit = 1",
    "]]></textarea></title><svg onload=window.hit=1>",
    "{{ constructor.constructor('window.hit = 1')() }}",
    "\u2028window.hit = 1\u2029",
    "<style>body { display: none }</style><base href='https://attacker.example/'>",
    "<meta http-equiv=refresh content='0;url=https://attacker.example/'>",
    "<iframe srcdoc='<script>parent.hit = 1</script>'></iframe>",
)
ATTACK = "\n".join(ATTACKS)


def test_embedded_text_of_any_attack_ends_no_script_element_and_stays_the_same() -> None:
    text = embedded({"text": ATTACK})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == {"text": ATTACK}


def test_packed_text_of_any_attack_is_base64_alone() -> None:
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed({"text": ATTACK, "lone": "\udcff"}))


def test_page_of_a_run_without_anything_to_show_still_says_what_is_missing(tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("one")], ids=("one", "two"))
    run = read_run(folder)
    assert '"missing":["two"]' in evaluation_page(run, summarise(run.manifest, run.results))


@pytest.mark.slow
def test_page_of_a_hundred_instances_stays_below_two_megabytes(tmp_path: Path) -> None:
    folder = copy_instances(make_run(tmp_path / "run", 12, output_lines=400), 100)
    raw = sum(path.stat().st_size for path in folder.rglob(TRAJECTORY))
    path = write_page(read_run(folder))
    assert raw > 20_000_000
    assert path.stat().st_size < 2_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 23 instances and its page."""
    folder = make_run(tmp_path_factory.mktemp("made") / "eval")
    write_page(read_run(folder))
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all tests of this file."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.resize(1280, 900)
        yield opened


def address(made: Path, route: str = "") -> str:
    return (made / "report.html").as_uri() + route


def shown_ids(page: Page) -> list[str]:
    return page.texts(".instances tbody th")


in_browser = pytest.mark.slow
"""Needs Chromium, which `make test` does not ask for."""


@in_browser
def test_overview_when_opened_shows_the_score_and_asks_for_nothing_else(page: Page, made: Path) -> None:
    page.requests.clear()
    page.open(address(made))
    assert page.text(".score") == "11 of 23 resolved"
    assert "95 % interval 29.2 % to 67.0 %" in page.text(".score-row")
    assert len(shown_ids(page)) == 23
    assert page.evaluate("document.querySelectorAll('.plots svg[role=img]').length") == 2
    assert page.requests == [address(made)]
    assert page.problems == []


@in_browser
def test_table_when_a_status_is_pressed_shows_only_its_instances_and_keeps_it_in_the_address(
    page: Page, made: Path
) -> None:
    page.open(address(made))
    page.click('.chips [data-status="unresolved"]')
    assert page.texts(".instances tbody .pill") == ["✗unresolved"] * 5
    assert page.text(".told") == "5 of 23 instances"
    assert page.evaluate("location.hash") == "#/?status=unresolved"
    page.open(address(made, "#/?status=unresolved"))
    assert page.text(".told") == "5 of 23 instances"


@in_browser
def test_page_of_several_samples_counts_them_as_such_and_finds_one_by_its_plain_name(
    page: Page, tmp_path: Path
) -> None:
    results = [result("a__b-1", cost_usd=1.0), result("a__b-1", "infra", sample=2, cost_usd=0.5)]
    url = write_page(read_run(save(tmp_path / "two", results, samples=2))).as_uri()
    page.open(url)
    assert page.text(".told") == "2 samples"
    assert page.text(".tiles dd") == "$1.50"
    page.open(f"{url}#/instance/a__b-1@2")
    assert page.text("h1").startswith("a__b-1@2")


@in_browser
def test_table_when_a_name_is_typed_filters_by_it(page: Page, made: Path) -> None:
    page.open(address(made))
    page.press("/")
    page.type("leap")
    names = shown_ids(page)
    assert names
    assert all("leap" in name for name in names)


@in_browser
def test_table_when_a_heading_is_pressed_sorts_and_says_so(page: Page, made: Path) -> None:
    page.open(address(made))
    page.click(".instances thead button", 7)
    costs = [float(text.removeprefix("$")) for text in page.texts(".instances tbody td:nth-child(8)")]
    assert costs == sorted(costs, reverse=True)
    assert page.evaluate("document.activeElement.closest('th').ariaSort") == "descending"
    page.press("Enter")
    costs = [float(text.removeprefix("$")) for text in page.texts(".instances tbody td:nth-child(8)")]
    assert costs == sorted(costs)


@in_browser
def test_ending_when_its_bar_is_pressed_filters_the_table(page: Page, made: Path) -> None:
    page.open(address(made))
    page.click(".bars button", 1)
    assert page.text(".told") == "2 of 23 instances"


@in_browser
def test_instance_when_its_row_is_pressed_shows_every_step_and_part(page: Page, made: Path) -> None:
    page.open(address(made, "#/?status=resolved"))
    name = shown_ids(page)[0]
    page.click(".instances tbody td:nth-child(3)")
    page.wait("document.querySelector('#steps')")
    steps = page.evaluate("document.querySelectorAll('.step[data-turn]').length")
    row = next(one for one in read_run(made).results if one.instance_id == name)
    assert steps == row.steps
    assert page.texts("section > h2") == ["Issue", "Tests", "Patch and gold", "Timings", "Steps"]
    sides = page.texts(".beside .diff")
    assert len(sides) == 2
    assert sides[0] == sides[1]
    text = page.text("#steps")
    for told in ("endpoint failed", "Nudge, no call", "Checkpoint of", "Resumed by another", "Repaired: json mended"):
        assert told in text
    page.press("Escape")
    page.wait("document.querySelector('.instances')")
    assert page.evaluate("location.hash") == "#/?status=resolved"
    assert page.problems == []


@in_browser
def test_instance_when_keys_are_pressed_leads_to_its_neighbours(page: Page, made: Path) -> None:
    page.open(address(made))
    first, second = shown_ids(page)[:2]
    page.open(address(made, f"#/instance/{first}"))
    page.press("j")
    page.wait(f"document.querySelector('h1').innerText.includes('{second}') && page.dataset.ready")
    page.press("k")
    page.wait(f"document.querySelector('h1').innerText.includes('{first}')")


@in_browser
def test_page_when_only_the_keyboard_is_used_reaches_an_instance(page: Page, made: Path) -> None:
    page.open(address(made))
    for _ in range(60):
        page.press("Tab")
        if page.evaluate("document.activeElement.matches('.instances tbody a')"):
            break
    page.press("Enter")
    page.wait("document.querySelector('#steps')")


@in_browser
def test_observation_when_unfolded_shows_its_text(page: Page, made: Path) -> None:
    page.open(address(made))
    page.open(address(made, f"#/instance/{shown_ids(page)[0]}"))
    folded = ".observed:not([open])"
    assert page.evaluate(f"document.querySelector('{folded} pre').checkVisibility()") is False
    page.click("#steps > .plain")
    assert (
        page.evaluate("[...document.querySelectorAll('.observed pre')].every((one) => one.checkVisibility())") is True
    )


@in_browser
@pytest.mark.parametrize("width", [1280, 600, 360])
def test_page_at_any_width_never_scrolls_sideways(page: Page, made: Path, width: int) -> None:
    try:
        page.resize(width, 900)
        page.open(address(made))
        name = shown_ids(page)[0]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.open(address(made, f"#/instance/{name}"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        page.resize(1280, 900)


@in_browser
def test_theme_when_the_user_prefers_dark_or_presses_the_button_changes(page: Page, made: Path) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    page.open(address(made))
    light = page.evaluate(ground)
    page.resize(1280, 900, dark=True)
    dark = page.evaluate(ground)
    assert dark != light
    page.click(".theme")
    assert page.evaluate(ground) == light
    page.click(".theme")
    assert page.evaluate(ground) == dark
    page.click(".theme")
    page.resize(1280, 900)
    assert page.evaluate(ground) == light


@in_browser
def test_page_of_an_attacking_trajectory_shows_it_as_text_and_runs_none_of_it(page: Page, tmp_path: Path) -> None:
    folder = save(
        tmp_path / "run",
        [result("one", "infra", infra=ATTACK, ending=ATTACK)],
        ids=("one", ATTACK),
        run_id=ATTACK,
        model=ATTACK,
        dataset=ATTACK,
        config={ATTACK: ATTACK},
    )
    instance = instance_folder(folder, "one")
    call = planned(0, ATTACK, [("bash", {"command": ATTACK, ATTACK: [ATTACK]})], repairs=(ATTACK,), served_by=ATTACK)
    cut = planned(1, "", [("bash", {"command": ATTACK})])
    write_log(
        instance / AGENT_RUN / TRAJECTORY,
        [
            started(ATTACK, ATTACK, model=ATTACK),
            call,
            observed(0, ATTACK * 40, full_output=ATTACK),
            cut,
            Called(turn=1, call=cut.calls[0]),
            Ended(
                outcome=Outcome(ending=Ending.SUBMITTED, reason=ATTACK),
                patch="", steps=2, tokens=Tokens(), cost_usd=0.0, cost_source="catalogue", seconds=1.0,
            ),
        ],
    )  # fmt: skip
    (instance / PATCH).write_text(
        f"diff --git a/{ATTACKS[0]} b/{ATTACKS[0]}\n@@ -1 +1 @@\n-{ATTACKS[0]}\n+{ATTACKS[1]}\n"
    )
    file = write_page(read_run(folder))
    page.requests.clear()
    for route in ("", "#/instance/one"):
        page.open(file.as_uri() + route)
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
        assert page.evaluate("window.hit") is None
        assert (
            page.evaluate("document.querySelectorAll('main :is(script, img, iframe, base, meta, style)').length") == 0
        )
        assert ATTACKS[1] in page.text("main")
    assert "\\u2028" in page.text("#steps")
    assert {request.partition("#")[0] for request in page.requests} == {file.as_uri()}
    assert page.problems == []


@in_browser
def test_policy_of_the_page_when_markup_gets_in_after_all_refuses_to_run_or_load_it(page: Page, made: Path) -> None:
    page.open(address(made))
    page.requests.clear()
    page.evaluate(
        "document.querySelector('main').innerHTML = '<img src=https://attacker.example/a onerror=\"window.hit = 1\">'"
    )
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.hit = 1' }))"
    )
    page.evaluate("fetch('https://attacker.example/').catch(() => 0)")
    page.wait("true")
    assert page.evaluate("window.hit") is None
    assert any("Content Security Policy" in problem for problem in page.problems)
    page.problems.clear()


@in_browser
def test_page_of_a_long_output_says_how_much_is_left_out_and_where_it_is(page: Page, tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("one")])
    log = instance_folder(folder, "one") / AGENT_RUN / TRAJECTORY
    text = "begin\n" + "x" * 300_000 + "\nend"
    write_log(log, [started("t", "t"), planned(0, "", [("bash", {"command": "yes"})]), observed(0, text)])
    file = write_page(read_run(folder))
    page.open(file.as_uri() + "#/instance/one")
    page.click(".observed summary")
    told = page.text(".observed pre")
    assert told.startswith("begin")
    assert told.endswith("end")
    assert re.search(
        r"28\d,\d{3} characters are left out here; all of it is in instances/one/run/trajectory.jsonl", told
    )


@in_browser
def test_page_of_a_damaged_log_shows_what_comes_before_and_names_the_damage(page: Page, tmp_path: Path) -> None:
    folder = save(tmp_path / "run", [result("one")])
    log = instance_folder(folder, "one") / AGENT_RUN / TRAJECTORY
    write_log(
        log,
        [started("t", "t"), planned(0, "I look.", [("bash", {"command": "ls"})]), observed(0, "a"), observed(0, "b")],
    )
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join([*lines[:2], lines[2].replace('"a"', '"c"'), lines[3]]))
    file = write_page(read_run(folder))
    page.open(file.as_uri() + "#/instance/one")
    assert "I look." in page.text("#steps")
    assert "The log cannot be read further: trajectory.jsonl, line 3" in page.text("#steps")


@in_browser
def test_page_of_a_single_run_shows_it_at_once(page: Page, tmp_path: Path) -> None:
    log = tmp_path / "20250601-abcd" / TRAJECTORY
    write_log(log, [started("total() is one too high", "t"), planned(0, "I look.", [("bash", {"command": "ls"})])])
    (log.parent / PATCH).write_text("diff --git a/a.py b/a.py\n@@ -1 +1 @@\n-old\n+new\n")
    file = tmp_path / "run.html"
    file.write_text(run_page(log.parent, [log], None))
    page.open(file.as_uri())
    assert "20250601-abcd" in page.text("h1")
    assert "unfinished" in page.text("h1")
    assert page.texts(".diff .code") == ["…", "old", "new"]
    assert "total() is one too high" in page.text(".top")
    assert "No observation: the run ended before or while the call ran." in page.text("#steps")
    assert page.problems == []
