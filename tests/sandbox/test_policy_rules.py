"""The table of the patch policy, and by properties: what passes stays within what the table allows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostro.sandbox.host_git import Base, patched, prepare_base
from ostro.sandbox.policy import check_patch
from ostro.sandbox.policy_links import follow
from ostro.sandbox.policy_rules import ADJUSTABLE, RULES, canonical, rules_for
from ostro.sandbox.repository import inspect_repository
from ostro.sandbox.secret_formats import ASSIGNED, secrets_in


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".GIT/config", ".git/config"),
        (".git./config", ".git/config"),
        (".git /config", ".git/config"),
        (".git::$INDEX_ALLOCATION/config", ".git/config"),
        (".g\u200cit/config", ".git/config"),
        ("GIT~1/config", ".git/config"),
        ("GITHUB~1\\workflows\\x.yml", ".github/workflows/x.yml"),
        ("gitmod~1", ".gitmodules"),
        ("HUSKY~2/pre-commit", ".husky/pre-commit"),
        ("a/.. /b", "a/../b"),
        ("a/.../b", "a/../b"),
        ("src/Main.java", "src/main.java"),
        ("backup~1", "backup~1"),
        (":memory:", ":memory:"),
    ],
)
def test_canonical_when_a_file_system_is_lenient_then_the_path_is_what_it_means(path: str, expected: str) -> None:
    assert canonical(path) == expected


@given(st.text(max_size=60))
def test_canonical_when_applied_twice_then_nothing_changes(path: str) -> None:
    assert canonical(canonical(path)) == canonical(path)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (".github/workflows/x.yml", ["ci"]),
        (".github", ["ci"]),
        (".github/workflows", ["ci"]),
        (".github/issue_template/bug.md", ["tool-settings"]),
        ("jenkinsfile.release", ["ci"]),
        ("deploy/azure-pipelines.release.yml", ["ci"]),
        (".husky", ["hook"]),
        ("lefthook.yml", ["hook"]),
        (".pre-commit-config.yaml", ["hook"]),
        (".vscode", ["autorun"]),
        (".gitmodules", ["submodule"]),
        ("sub/.gitmodules", []),
        ("src/hooks/use.ts", []),
        ("makefile", []),
        ("docs/workflows/x.yml", []),
        ("setup.py", []),
    ],
)
def test_rules_for_when_given_a_path_then_the_table_says_which(path: str, names: list[str]) -> None:
    assert [rule.name for rule in rules_for(path)] == names


def test_rules_when_one_is_fixed_then_no_user_can_set_it() -> None:
    fixed = {name for name, rule in RULES.items() if rule.fixed}
    assert fixed == {"size", "path", "mode", "apply", "known-secret"}
    assert fixed.isdisjoint(ADJUSTABLE)


@pytest.mark.parametrize(
    ("links", "trouble"),
    [
        ({"a": "b/c"}, False),
        ({"a/b": "../c"}, False),
        ({"a": "../c"}, True),
        ({"a": "/etc"}, True),
        ({"a": "C:/x"}, True),
        ({"a": "x/.GIT/hooks"}, True),
        ({"a": "git~1"}, True),
        ({"a": "a"}, True),
        ({"a": "b", "b": "x/../a"}, True),
        ({"p/q": "..", "out": "p/q/../x"}, True),
        ({"p/q": "..", "fine": "p/q/x"}, False),
        ({"Up/down": "..", "out": "up/DOWN/../x"}, True),
    ],
)
def test_follow_when_links_lead_somewhere_then_only_ways_out_are_trouble(links: dict[str, str], trouble: bool) -> None:
    known = {canonical(path): target for path, target in links.items()}
    assert any(follow(link, known).trouble for link in known) is trouble


names = st.sampled_from(["a", "b", "c", "up"])
targets = st.lists(st.sampled_from(["a", "b", "c", "up", "..", "."]), min_size=1, max_size=5).map("/".join)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(paths, targets, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_follow_when_it_finds_no_trouble_then_the_system_agrees(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    root = tmp_path_factory.mktemp("links")
    placed = {path: target for path, target in links.items() if not any(path.startswith(f"{o}/") for o in links)}
    for path, target in placed.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if not (root / path).exists():
            (root / path).symlink_to(target)
    there = {path: target for path, target in placed.items() if (root / path).is_symlink()}
    for path in there:
        if not follow(path, there).trouble:
            real = Path(os.path.realpath(root / path))
            assert real == root or root in real.parents


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('api_key = "' + "Zx81kQp0Rr7Lm3Vt" + 'B9yN4wEs"', True),
        ("SIGNING_SECRET=" + "9f86d081884c7d659a2feaa0c55ad015", True),
        ('password = "correct-horse-battery-staple-again"', False),
        ("access_token = get_access_token_from_environment(name)", False),
        ("SECRET_KEY = os.environ['THE_SECRET_KEY_OF_THIS_APP1A']", False),
        ('"integrity": "sha512-' + "Zx81kQp0Rr7Lm3VtB9yN4wEs" * 3 + '"', False),
    ],
)
def test_secrets_in_when_a_value_is_assigned_then_only_random_ones_are_found(text: str, found: bool) -> None:
    assert (ASSIGNED in secrets_in(text.encode())) is found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    root = tmp_path_factory.mktemp("property") / "repo"
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.txt").write_text("one\n")
    (root / "into").symlink_to("src")
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "Base"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    return prepare_base(inspect_repository(root), root.parent / "base.git")


hostile = st.sampled_from(
    ["src", "lib", "x.py", "..", ".", ".git", ".GIT", "git~1", ".github", "workflows", "ci.yml", ".husky", "hooks",
     "pre-commit", ".gitmodules", ".vscode", "tasks.json", "into", ".g\u200cit", "a b", "GITHUB~1", ".envrc"]
)  # fmt: skip
files = st.tuples(
    st.lists(hostile, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["100644", "100755", "120000", "104755", "160000"]),
    st.lists(hostile, min_size=1, max_size=3).map("/".join),
)


def section(path: str, mode: str, text: str) -> bytes:
    end = "\\ No newline at end of file\n" if mode == "120000" else ""
    body = f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n{end}"
    return f"diff --git a/{path} b/{path}\nnew file mode {mode}\n{body}".encode()


FOLDERS = (".git/", ".github/workflows/", ".husky/")
FILES = (".git", ".github", ".github/workflows", ".husky", ".vscode/tasks.json", ".gitmodules", ".envrc")


@given(st.lists(files, min_size=1, max_size=4, unique_by=lambda file: file[0]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_check_patch_when_it_passes_then_it_applies_to_allowed_paths_only(
    base: Base, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str, str]]
) -> None:
    report = check_patch(base, b"".join(section(*change) for change in changes))
    if not report.patch:
        assert report.findings
        return
    root = tmp_path_factory.mktemp("out").resolve()
    with patched(base, report.patch) as tree:
        for change in tree.changes():
            lower = change.name.lower().replace("\u200c", "").replace("git~1", ".git").replace("github~1", ".github")
            assert ".." not in lower.split("/")
            assert ".git" not in lower.split("/")
            assert not lower.startswith(FOLDERS)
            assert lower not in FILES
            assert change.new_mode in ("100644", "100755", "120000")
        for path, blob in tree.links().items():
            target = tree.blobs([blob], max_bytes=4096)[blob].data.decode()
            link = root / path.decode()
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    for link in (path for path in root.rglob("*") if path.is_symlink()):
        real = Path(os.path.realpath(link))
        assert real == root or root in real.parents
        assert ".git" not in real.relative_to(root).parts
