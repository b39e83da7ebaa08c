"""Which files an issue speaks of."""

from __future__ import annotations

from ostro.agent.named_files import paths_in

NAMES = {"minibugs/ranges.py", "src/app/util.py", "src/lib/util.py", "README.md", "setup.cfg"}


def test_paths_in_when_a_path_is_named_then_found_once_and_in_order() -> None:
    text = "See README.md. The code is in `minibugs/ranges.py`, really minibugs/ranges.py:12."
    assert paths_in(text, NAMES) == ["README.md", "minibugs/ranges.py"]


def test_paths_in_when_only_the_end_is_named_then_found_where_it_is_unique() -> None:
    assert paths_in("ranges.py is wrong, util.py too", NAMES) == ["minibugs/ranges.py"]


def test_paths_in_when_it_is_prose_a_url_or_a_version_then_nothing() -> None:
    assert paths_in("Since 3.11.2, https://example.org/setup.cfg, e.g. foo.bar() and i.e. this.", NAMES) == []
