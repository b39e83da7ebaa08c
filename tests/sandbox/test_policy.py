"""What check_patch keeps, strips, flags and refuses, with patches made by real git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ostro.sandbox.binary_patch import UNKNOWN, unpacked_bytes
from ostro.sandbox.host_git import Base, patched, prepare_base
from ostro.sandbox.policy import MANY_FILES, PatchPolicy, check_patch
from ostro.sandbox.policy_rules import Level
from ostro.sandbox.repository import inspect_repository


class Workshop:
    """A repository, its base, and patches made by changing its files."""

    def __init__(self, root: Path, base: Base) -> None:
        self.root = root
        self.base = base

    def git(self, *args: str, stdin: bytes | None = None) -> bytes:
        return subprocess.run(["git", *args], cwd=self.root, check=True, capture_output=True, input=stdin).stdout

    def write(self, name: str, data: bytes | str = "new\n") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    def patch(self) -> bytes:
        self.git("add", "-A", "-f")
        return self.git("diff", "--cached", "--binary", "--full-index", "--no-renames", "HEAD")

    def entries(self, patch: bytes) -> list[str]:
        with patched(self.base, patch) as tree:
            return sorted(change.name for change in tree.changes())


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = A\n\temail = a@b.c\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "a.txt").write_text("one\n")
    (root / ".github" / "workflows").mkdir(parents=True)
    (root / ".github" / "workflows" / "ci.yml").write_text("on: push\n")
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "huge.txt").write_text("line\n" * 2_000)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", "commit", "-qm", "Base"], cwd=root, check=True)
    return Workshop(root, prepare_base(inspect_repository(root), tmp_path / "base.git"))


def test_check_patch_when_it_is_ordinary_then_it_passes_byte_for_byte(shop: Workshop) -> None:
    shop.write("a.txt", "two\n")
    shop.write("src/new.py")
    (shop.root / "link").symlink_to("src/../a.txt")
    (shop.root / "src" / "up").symlink_to("../a.txt")
    patch = shop.patch()

    report = check_patch(shop.base, patch)

    assert report.patch == patch
    assert report.findings == ()
    assert report.files == ("a.txt", "link", "src/new.py", "src/up")
    assert not report.refused


@pytest.mark.parametrize("patch", [b"", b" \n"])
def test_check_patch_when_it_is_empty_then_nothing_is_said(shop: Workshop, patch: bytes) -> None:
    assert check_patch(shop.base, patch).findings == ()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (".github/workflows/new.yml", "ci"),
        (".GitHub/Workflows/new.yml", "ci"),
        (".github/actions/x/action.yml", "ci"),
        (".github/dependabot.yml", "ci"),
        (".github/CODEOWNERS", "ci"),
        (".gitlab-ci.yml", "ci"),
        (".circleci/config.yml", "ci"),
        (".travis.yml", "ci"),
        ("azure-pipelines.yml", "ci"),
        ("deploy/Jenkinsfile", "ci"),
        (".husky/pre-commit", "hook"),
        ("tools/.githooks/post-checkout", "hook"),
        ("hooks/pre-commit", "hook"),
        (".pre-commit-config.yaml", "hook"),
        (".gitmodules", "submodule"),
    ],
)
def test_check_patch_when_a_path_is_off_limits_then_it_is_stripped_and_the_rest_kept(
    shop: Workshop, name: str, rule: str
) -> None:
    shop.write("a.txt", "two\n")
    shop.write(name)

    report = check_patch(shop.base, shop.patch())

    assert [(finding.path, finding.rule, finding.action) for finding in report.findings] == [(name, rule, "stripped")]
    assert report.findings[0].reason
    assert report.files == ("a.txt",)
    assert shop.entries(report.patch) == ["a.txt"]
    assert not report.refused


@pytest.mark.parametrize(("level", "actions"), [("reported", ["reported"]), ("allowed", []), ("refused", ["refused"])])
def test_check_patch_when_the_user_set_a_level_then_it_holds(shop: Workshop, level: Level, actions: list[str]) -> None:
    shop.write(".github/workflows/ci.yml", "on: pull_request\n")
    patch = shop.patch()
    report = check_patch(shop.base, patch, PatchPolicy(levels={"ci": level}))
    assert [finding.action for finding in report.findings] == actions
    assert report.patch == (b"" if level == "refused" else patch)


def test_check_patch_when_a_rule_is_fixed_then_no_level_relaxes_it(shop: Workshop) -> None:
    shop.write("new.dat", os.urandom(9_000))
    policy = PatchPolicy(levels={"size": "allowed"}, max_patch_bytes=8 * 1024)
    assert check_patch(shop.base, shop.patch(), policy).refused


@pytest.mark.parametrize("how", ["deleted", "folder becomes a link", "folder becomes a file"])
def test_check_patch_when_workflows_vanish_then_they_are_given_back(shop: Workshop, how: str) -> None:
    workflows = shop.root / ".github" / "workflows"
    (workflows / "ci.yml").unlink()
    workflows.rmdir()
    if how == "folder becomes a link":
        workflows.symlink_to("../src")
    elif how == "folder becomes a file":
        workflows.write_text("x")
    shop.write("a.txt", "two\n")

    report = check_patch(shop.base, shop.patch())

    assert report.files == ("a.txt",)
    assert shop.entries(report.patch) == ["a.txt"]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("link", "/etc/passwd"),
        ("link", ".."),
        ("link", "src/../../x"),
        ("src/deep/link", "../../../x"),
        ("link", ".git/config"),
        ("link", "src/../.GIT/hooks"),
        ("link", "C:\\Windows"),
        ("link", "..\\x"),
    ],
)
def test_check_patch_when_a_link_leads_out_then_it_is_stripped(shop: Workshop, name: str, target: str) -> None:
    path = shop.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    report = check_patch(shop.base, shop.patch())
    assert [(finding.path, finding.rule, finding.action) for finding in report.findings] == [
        (name, "symlink", "stripped")
    ]
    assert report.patch == b""


def test_check_patch_when_a_nested_repository_was_added_then_it_is_stripped(shop: Workshop) -> None:
    commit = shop.git("rev-parse", "HEAD").decode().strip()
    shop.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/x")
    patch = shop.git("diff", "--cached", "--binary", "--full-index", "HEAD")
    report = check_patch(shop.base, patch)
    assert [(finding.path, finding.rule) for finding in report.findings] == [("vendor/x", "submodule")]
    assert report.patch == b""


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("*.bin filter=lfs\n*.py filter=evil\n", True),
        ("*.bin filter=lfs\n[attr]x filter=evil\n", True),
        ("*.bin filter=lfs\n*.py diff=python text\n", False),
        ("", False),
    ],
)
def test_check_patch_when_attributes_change_then_only_new_filters_are_stripped(
    shop: Workshop, text: str, stripped: bool
) -> None:
    shop.write(".gitattributes", text)
    report = check_patch(shop.base, shop.patch())
    assert [finding.rule for finding in report.findings] == (["git-attributes"] if stripped else [])
    assert bool(report.patch) is not stripped


def test_check_patch_when_a_new_file_is_large_then_it_is_stripped_but_an_old_one_may_change(shop: Workshop) -> None:
    shop.write("new.dat", os.urandom(5_001))
    with (shop.root / "huge.txt").open("a") as file:
        file.write("one more\n")
    report = check_patch(shop.base, shop.patch(), PatchPolicy(max_file_bytes=5_000))
    assert [(finding.path, finding.rule, finding.action) for finding in report.findings] == [
        ("new.dat", "large-file", "stripped")
    ]
    assert report.files == ("huge.txt",)


def test_check_patch_when_it_is_too_large_then_it_is_refused_with_the_limit(shop: Workshop) -> None:
    shop.write("new.dat", os.urandom(9_000))
    report = check_patch(shop.base, shop.patch(), PatchPolicy(max_patch_bytes=8 * 1024))
    assert report.refused
    assert report.patch == b""
    assert "limit is 8 KiB" in report.findings[0].reason


BOMB = """diff --git a/zeros b/zeros
new file mode 100644
index 0000000000000000000000000000000000000000..1111111111111111111111111111111111111111
GIT binary patch
literal {size}
Hcmb2|=HLJVPyz)2

literal 0
HcmV?d00001

"""


def test_check_patch_when_it_would_unpack_to_gigabytes_then_it_is_refused_at_once(shop: Workshop) -> None:
    patch = BOMB.format(size=300_000_000).encode()
    report = check_patch(shop.base, patch)
    assert report.refused
    assert "unpack" in report.findings[0].reason


@pytest.mark.parametrize(("name", "kind"), [("literal", b"literal "), ("delta", b"delta ")])
def test_unpacked_bytes_when_git_made_the_patch_then_the_size_is_the_files(
    shop: Workshop, name: str, kind: bytes
) -> None:
    noise = os.urandom(100_000)
    shop.write("noise.dat", noise)
    if name == "delta":
        shop.git("add", "-A")
        shop.git("commit", "-qm", "Noise")
        shop.write("noise.dat", noise + noise)
    patch = shop.patch()
    assert b"\n" + kind in patch
    assert unpacked_bytes(patch) >= (200_000 if name == "delta" else 100_000)
    assert unpacked_bytes(patch) < 500_000


@pytest.mark.parametrize(
    "patch",
    [
        b"literal 5\n",
        b"delta 10\nzzzzzzzz\n",
        b"literal 99999999999999999999\nAaaaaaa\n",
        b"delta 3\nB\xff\xff\xff\xff\xff\n",
    ],
)
def test_unpacked_bytes_when_a_section_is_malformed_then_it_is_beyond_any_limit(patch: bytes) -> None:
    assert unpacked_bytes(patch) >= UNKNOWN


def test_check_patch_when_files_are_binary_or_many_then_it_is_reported(shop: Workshop) -> None:
    shop.write("logo.png", b"\x89PNG\0\0")
    for number in range(MANY_FILES):
        shop.write(f"many/{number}")
    patch = shop.patch()
    report = check_patch(shop.base, patch)
    assert report.patch == patch
    assert [(finding.path, finding.rule, finding.action) for finding in report.findings] == [
        ("logo.png", "binary", "reported"),
        ("", "many-files", "reported"),
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("-----BEGIN OPENSSH " + "PRIVATE KEY-----\n", "private key"),
        ("token = 'ghp_" + "a1B2" * 9 + "'\n", "GitHub token"),
        ("AKIA" + "ABCDEFGH" * 2 + "\n", "AWS access key"),
        ("key: sk-ant-" + "api03-" + "x" * 30 + "\n", "Anthropic key"),
        ('CLIENT_SECRET = "' + "q7Xw2LrT9vKzB4nH" + "1mPdY6sJ" + '"\n', "random value"),
        ("url = postgres://admin:" + "hunter2hunter2@db.example.org/x\n", "password in a URL"),
    ],
)
def test_check_patch_when_a_secret_was_added_then_it_is_reported_without_showing_it(
    shop: Workshop, text: str, what: str
) -> None:
    shop.write("config.py", text)
    report = check_patch(shop.base, shop.patch())
    assert [(finding.path, finding.rule, finding.action) for finding in report.findings] == [
        ("config.py", "secret", "reported")
    ]
    assert what in report.findings[0].reason
    assert text.strip() not in report.findings[0].reason
    assert report.patch


@pytest.mark.parametrize(
    ("name", "rule", "action"),
    [
        (".vscode/tasks.json", "autorun", "stripped"),
        ("app/.envrc", "autorun", "stripped"),
        (".mcp.json", "autorun", "stripped"),
        (".devcontainer/x.json", "autorun", "stripped"),
        (".claude/settings.json", "autorun", "stripped"),
        ("sub/AGENTS.md", "tool-settings", "reported"),
        (".npmrc", "tool-settings", "reported"),
        ("action.yml", "tool-settings", "reported"),
        (".github/scripts/build.sh", "tool-settings", "reported"),
    ],
)
def test_check_patch_when_tools_act_on_a_file_by_themselves_then_it_is_found(
    shop: Workshop, name: str, rule: str, action: str
) -> None:
    shop.write(name)
    report = check_patch(shop.base, shop.patch())
    assert [(finding.rule, finding.action) for finding in report.findings] == [(rule, action)]


def test_check_patch_when_the_work_is_ordinary_then_nothing_is_said(shop: Workshop) -> None:
    shop.write("Makefile", "all:\n\tcc -o x x.c\n")
    shop.write("docs/logo.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + os.urandom(900))
    shop.write("scripts/build.sh", "#!/bin/sh\nexec make\n")
    (shop.root / "scripts" / "build.sh").chmod(0o755)
    shop.write("src/hooks/use_state.ts")
    shop.write("src/workflows/order.py")
    shop.write("package.json", '{"scripts": {"build": "tsc"}}\n')
    shop.write(
        "i18n/fa.po", 'msgstr "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f4bb\u200f"\n'
    )
    shop.write("bom.cs", "\ufeffusing System;\n")
    (shop.root / "huge.txt").rename(shop.root / "large.txt")
    patch = shop.patch()

    report = check_patch(shop.base, patch)

    assert report.findings == ()
    assert report.patch == patch


@pytest.mark.parametrize(
    ("data", "executable", "expected"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(60), True, {"program": "stripped", "executable-bit": "reported"}),
        (b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(40), False, {"program": "stripped"}),
        (b"MZ is how this text begins\n" * 9, False, {}),
        (b"plain\n", True, {"executable-bit": "reported"}),
        (b"#!/usr/bin/env python3\n", True, {}),
        (b"\x89PNG\r\n\x1a\n" + bytes(300_000), False, {"binary": "reported"}),
        ("if x:\u202e # \u2066return\n".encode(), False, {"hidden-text": "reported"}),
        ("say\U000e0041\U000e0042\n".encode(), False, {"hidden-text": "reported"}),
        (b"echo \x1b[2Jok\n", False, {"hidden-text": "reported"}),
    ],
)
def test_check_patch_when_content_is_out_of_the_ordinary_then_it_is_found(
    shop: Workshop, data: bytes, executable: bool, expected: dict[str, str]
) -> None:
    shop.write("tools/thing", data)
    (shop.root / "tools" / "thing").chmod(0o755 if executable else 0o644)
    report = check_patch(shop.base, shop.patch())
    assert {finding.rule: finding.action for finding in report.findings} == expected
    assert bool(report.patch) is ("stripped" not in expected.values())


def test_check_patch_when_hidden_characters_were_there_before_then_only_new_lines_count(shop: Workshop) -> None:
    shop.write("old.py", "a = '\u202e'\n")
    shop.git("add", "-A")
    shop.git("commit", "-qm", "Old")
    base = prepare_base(inspect_repository(shop.root), shop.root.parent / "second.git")
    shop.write("old.py", "a = '\u202e'\nb = '\u2066'\nc = 1\n")
    report = check_patch(base, shop.patch())
    assert [finding.reason for finding in report.findings] == ["1 characters that a reader does not see (line 2)"]


def test_check_patch_when_an_install_script_is_added_then_it_is_reported(shop: Workshop) -> None:
    shop.write("web/package.json", '{"scripts": {\n"postinstall": "node x.js"\n}}\n')
    assert [finding.rule for finding in check_patch(shop.base, shop.patch()).findings] == ["install-script"]


def test_check_patch_when_links_lead_out_only_together_then_the_new_ones_are_stripped(shop: Workshop) -> None:
    (shop.root / "p" / "q").mkdir(parents=True)
    (shop.root / "p" / "q" / "top").symlink_to("../..")
    (shop.root / "out").symlink_to("p/q/top/../secret")
    shop.write("a.txt", "two\n")
    report = check_patch(shop.base, shop.patch())
    assert {finding.path for finding in report.findings} == {"out", "p/q/top"}
    assert report.files == ("a.txt",)


def test_check_patch_when_it_does_not_apply_then_it_is_refused_with_gits_reason(shop: Workshop) -> None:
    report = check_patch(shop.base, b"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-zzz\n+x\n")
    assert report.refused
    assert [finding.rule for finding in report.findings] == ["apply"]
    assert report.notices()[0].startswith("refused: the patch: the patch does not apply")


def test_check_patch_when_a_file_or_its_name_holds_a_known_secret_then_it_is_stripped(shop: Workshop) -> None:
    shop.write("a.txt", "two\n")
    shop.write("config.py", "KEY = 'my-own-key'\n")
    shop.write("my-own-key.txt")
    shop.write("wide.bin", b"\0my-own-key")
    policy = PatchPolicy(levels={"known-secret": "allowed"}, known_secret=lambda data: b"my-own-key" in data)
    report = check_patch(shop.base, shop.patch(), policy)
    stripped = {finding.path for finding in report.findings if finding.rule == "known-secret"}
    assert stripped == {"config.py", "my-own-key.txt", "wide.bin"}
    assert report.files == ("a.txt",)
