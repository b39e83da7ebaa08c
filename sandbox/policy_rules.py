"""The rules of what a patch may hold, as one table; policy.py applies them.

A rule has a level: what happens to what it finds. The user may set the level of most; a repository never. The rules on
paths match the whole path as the most lenient file system would take it (`canonical`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Action = Literal["refused", "stripped", "reported"]
"""The patch as a whole is refused; the file is left out; the file stays and a person is told."""

Level = Literal["refused", "stripped", "reported", "allowed"]

RuleName = Literal[
    "size",
    "path",
    "mode",
    "apply",
    "submodule",
    "symlink",
    "git-attributes",
    "hook",
    "ci",
    "autorun",
    "tool-settings",
    "install-script",
    "large-file",
    "program",
    "binary",
    "executable-bit",
    "hidden-text",
    "secret",
    "known-secret",
    "many-files",
]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        level: what happens by default.
        reason: for a person, after the path; one line.
        fixed: nobody may change the level.
        paths: the canonical paths that it is about; None where policy.py looks at something else.
    """

    name: RuleName
    level: Action
    reason: str
    fixed: bool = False
    paths: re.Pattern[str] | None = None


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


_ANYWHERE = r"(?:.*/)?"
_YAML = r"\.ya?ml"

_CI = _any(
    r"\.github/(?:workflows|actions)/.*",
    rf"\.github/(?:dependabot{_YAML}|renovate\.json5?)",
    r"(?:\.github/|docs/|\.gitlab/|\.gitea/)?codeowners",
    rf"\.gitlab-ci{_YAML}|\.gitlab/(?!issue_templates/|merge_request_templates/).*",
    rf"\.circleci/.*|\.travis{_YAML}|\.?appveyor{_YAML}|\.cirrus\.(?:ya?ml|star)",
    rf"{_ANYWHERE}azure-pipelines[^/]*{_YAML}|\.azure-pipelines/.*|\.pipelines/.*",
    rf"{_ANYWHERE}jenkinsfile[^/]*|\.jenkins/.*",
    rf"\.drone\.(?:ya?ml|star|jsonnet)|\.buildkite/.*|bitbucket-pipelines{_YAML}|\.woodpecker(?:/.*|{_YAML})",
    rf"\.semaphore/.*|\.teamcity/.*|\.forgejo/.*|\.gitea/.*|\.harness/.*|buildspec{_YAML}|cloudbuild{_YAML}",
    rf"\.builds/.*|\.build{_YAML}|\.tekton/.*|\.scrutinizer{_YAML}|wercker{_YAML}|\.codemagic{_YAML}|codemagic{_YAML}",
)
"""From the documentation of each service: the files by which it decides what to run, and who must approve."""

_HOOKS = _any(
    rf"{_ANYWHERE}(?:\.husky|\.githooks|\.git-hooks|githooks|\.git_template|\.captainhook)/.*",
    rf"{_ANYWHERE}\.pre-commit-(?:config|hooks){_YAML}|\.overcommit{_YAML}|captainhook\.json",
    rf"{_ANYWHERE}\.?lefthook(?:-local)?\.(?:ya?ml|toml|json)|\.?lefthook/.*",
    r"\.simple-git-hooks\.(?:c?js|json)|simple-git-hooks\.(?:c?js|json)|\.huskyrc(?:\.[a-z]+)?|\.ghooks",
    rf"{_ANYWHERE}hooks/(?:pre|post|commit|prepare|update|applypatch|fsmonitor|sendemail|push|reference)-?[a-z-]*",
)

_AUTORUN = _any(
    rf"{_ANYWHERE}\.vscode/(?:tasks|settings|launch|mcp)\.json|{_ANYWHERE}[^/]*\.code-workspace",
    rf"{_ANYWHERE}\.devcontainer(?:/.*|\.json)|{_ANYWHERE}\.envrc|{_ANYWHERE}\.mise(?:/.*|\.[\w.]*toml)|\.gitpod{_YAML}",
    rf"{_ANYWHERE}\.(?:claude|cursor|codex|gemini|vibe|continue|windsurf|roo|amazonq|kiro)/.*|{_ANYWHERE}\.mcp\.json",
    rf"{_ANYWHERE}\.idea/(?:runconfigurations/.*|workspace\.xml)|{_ANYWHERE}\.run/.*\.run\.xml",
    rf"{_ANYWHERE}\.(?:exrc|nvimrc|vimrc|nvim\.lua|dir-locals\.el|autoenv)",
)
"""What an editor, a shell or an agent runs when the folder is merely opened or entered."""

_TOOL_SETTINGS = _any(
    rf"{_ANYWHERE}(?:agents|claude|gemini)\.md|{_ANYWHERE}\.(?:cursor|windsurf|cline)rules|\.aider[^/]*|\.github/.*",
    rf"{_ANYWHERE}\.npmrc|{_ANYWHERE}\.yarnrc(?:{_YAML})?|{_ANYWHERE}\.pnpmfile\.cjs|{_ANYWHERE}pip\.conf|{_ANYWHERE}\.pypirc",
    rf"{_ANYWHERE}\.cargo/config(?:\.toml)?|{_ANYWHERE}\.bundle/config|{_ANYWHERE}nuget\.config|\.mvn/.*|ostro\.toml",
    rf"{_ANYWHERE}\.idea/.*|{_ANYWHERE}action{_YAML}|{_ANYWHERE}\.gitconfig|{_ANYWHERE}\.netrc|{_ANYWHERE}\.lfsconfig",
    rf"{_ANYWHERE}(?:site|user)customize\.py|{_ANYWHERE}\.curlrc",
)
"""What agents, package managers and editors obey; a person should have looked at the change."""

RULES: dict[RuleName, Rule] = {
    rule.name: rule
    for rule in (
        Rule("size", "refused", "it is too large", fixed=True),
        Rule("path", "refused", "its path leads out of the repository", fixed=True),
        Rule("mode", "refused", "a file mode that git does not keep", fixed=True),
        Rule("apply", "refused", "it does not apply", fixed=True),
        Rule("submodule", "stripped", "a run does not add, change or remove submodules", paths=_any(r"\.gitmodules")),
        Rule("symlink", "stripped", "the symbolic link leads out of the repository"),
        Rule("git-attributes", "stripped", "it binds files to a program"),
        Rule("hook", "stripped", "it changes hooks of git", paths=_HOOKS),
        Rule("ci", "stripped", "it changes continuous integration", paths=_CI),
        Rule("autorun", "stripped", "opening the folder runs what it says", paths=_AUTORUN),
        Rule("tool-settings", "reported", "tools act on it by themselves", paths=_TOOL_SETTINGS),
        Rule("install-script", "reported", "installing the package runs what was added"),
        Rule("large-file", "stripped", "the file is too large"),
        Rule("program", "stripped", "it is a compiled program"),
        Rule("binary", "reported", "it is binary"),
        Rule("executable-bit", "reported", "it was made executable and is no script"),
        Rule("hidden-text", "reported", "added lines hold characters that a reader does not see"),
        Rule("secret", "reported", "it looks like it holds a secret"),
        Rule("known-secret", "stripped", "it holds one of your secrets", fixed=True),
        Rule("many-files", "reported", "it changes many files"),
    )
}

ADJUSTABLE: tuple[RuleName, ...] = tuple(name for name, rule in RULES.items() if not rule.fixed)
"""The rules whose level the user may set."""

_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_SHORT_NAME = re.compile(r"([a-z0-9_]{2,6})~[0-9]+")
_PROTECTED = (
    ".git", ".github", ".gitlab", ".gitmodules", ".gitattributes", ".gitea", ".githooks", ".husky", ".vscode",
    ".circleci", ".devcontainer", ".cursor", ".claude", ".forgejo", ".buildkite",
    ".pre-commit-config.yaml", ".gitlab-ci.yml",
)  # fmt: skip


def canonical(path: str) -> str:
    r"""Return the path as the most lenient file system takes it: one case, NTFS's and HFS+'s other spellings resolved.

    NTFS drops dots and spaces at the end of a name and what follows a colon, takes `\` for `/` and has short names
    (`git~1`); HFS+ ignores some invisible characters. Both ignore case.
    """
    return "/".join(_canonical_name(name) for name in path.replace("\\", "/").split("/"))


def _canonical_name(name: str) -> str:
    plain = _IGNORED_BY_HFS.sub("", name).casefold()
    plain = plain.partition(":")[0] or plain
    if not plain.strip(" ."):
        return plain if plain in ("", ".") else ".."
    plain = plain.rstrip(" .")
    short = _SHORT_NAME.fullmatch(plain)
    if short is None:
        return plain
    meant = (known for known in _PROTECTED if re.sub(r"[^a-z0-9_]", "", known).startswith(short[1]))
    return ".git" if short[1] == "git" else next(meant, plain)


_INSIDE = ("x", "workflows/x", "tasks.json", "runconfigurations/x")


def rules_for(path: str) -> list[Rule]:
    """Return the rules on paths that a canonical path falls under, the strictest first.

    A link or a file in the place of a folder would do as well, so the folder's own name counts.
    """
    names = (path, *(f"{path}/{inside}" for inside in _INSIDE))
    exact = [rule for rule in RULES.values() if rule.paths is not None and any(map(rule.paths.fullmatch, names))]
    strict = [rule for rule in exact if rule.level != "reported"]
    return strict or exact
