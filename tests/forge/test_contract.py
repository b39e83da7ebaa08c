"""What every forge must do, asked of GitHub, GitLab and Gitea alike: the same story, told in three APIs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.errors import ForgeError, IssueError
from ostro.agent.record.redact import Redactor
from ostro.forge.api import Api
from ostro.forge.decide import decide, gone
from ostro.forge.event import Skip
from ostro.forge.evidence import Evidence
from ostro.forge.gitea import GiteaRepository, gitea_api
from ostro.forge.github import issue_ref
from ostro.forge.github_repository import GitHubRepository, github_api
from ostro.forge.gitlab import GitLabProject, gitlab_api
from ostro.forge.issue import read_issue
from ostro.forge.job import Job
from ostro.forge.once import ensure_note
from ostro.forge.ours import own_notes, own_pulls
from ostro.forge.protocol import Forge, ForgeKind
from ostro.forge.publish import Publication, forge_policy, publish
from tests.driving import make_repository
from tests.forge.conftest import PATCH, green_evidence
from tests.forge.fake import FakeForge, Fault
from tests.forge.fake.world import CheckRun, Permission, Pull, Repository

TOKEN = "token-of-a-job-0123456789"
KINDS: tuple[ForgeKind, ...] = ("github", "gitlab", "gitea")
ROOTS = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
LOGINS = {"github": "github-actions[bot]", "gitlab": "project_7_bot_c0ffee", "gitea": "ostro-bot"}
APIS = {"github": github_api, "gitlab": gitlab_api, "gitea": gitea_api}
MARKER = '<!-- ostro {"kind":"status","issue":1} -->\n'


@dataclass
class Seat:
    """One forge, from the side of Ostro and from behind."""

    kind: ForgeKind
    fake: FakeForge
    repository: Repository
    api: Api
    forge: Forge

    def comment(self, body: str, author: str, on: int = 1) -> None:
        self.fake.world.add_comment(self.repository, on, body, author=author)

    def push(self, branch: str) -> str:
        """Bring a branch with one commit."""
        tree = self.repository.git("rev-parse", "main^{tree}")
        who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        commit = self.repository.git(*who, "commit-tree", tree, "-p", "main", "-m", f"on {branch}")
        self.repository.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def publish(self, **changes: Any) -> Publication:
        """Publish a green run."""
        return self.publish_evidence(green_evidence(self.repository, **changes))

    def publish_evidence(self, evidence: Evidence) -> Publication:
        url = self.fake.url
        job = Job(self.repository.full_name, token=TOKEN, kind=self.kind, api_url=self.api.url, server_url=url)
        return publish(job, self.forge, evidence, PATCH, forge_policy({}, Redactor([])))


def forge_of(kind: ForgeKind, repository: Repository, api: Api, url: str, token: str = TOKEN) -> Forge:
    if kind == "gitlab":
        return GitLabProject(repository.full_name, token, api, server_url=url)
    if kind == "gitea":
        return GiteaRepository(repository.full_name, token, api, server_url=url)
    return GitHubRepository(repository.full_name, token, api, server_url=url)


@contextmanager
def seated(kind: ForgeKind, folder: Path) -> Generator[Seat]:
    with FakeForge(folder / "forge") as fake:
        repository = fake.world.add_repository(make_repository(folder / "source"))
        fake.world.add_user(LOGINS[kind], "Bot")
        # Gitea tells only its administrators who may write.
        own: Permission = "admin" if kind == "gitea" else "write"
        repository.permissions |= {LOGINS[kind]: own, "bob": "write", "carol": "read"}
        for login in ("bob", "carol", "mallory"):
            fake.world.add_user(login)
        fake.world.add_token(TOKEN, LOGINS[kind])
        fake.world.add_issue(repository, "total() is one too high", "It gives 4.", author="carol")
        with APIS[kind](fake.url + ROOTS[kind], TOKEN, wait=lambda _: None) as api:
            yield Seat(kind, fake, repository, api, forge_of(kind, repository, api, fake.url))


@pytest.fixture(params=KINDS)
def seat(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Seat]:
    with seated(request.param, tmp_path) as found:
        yield found


def test_forge_when_asked_who_may_write_then_only_who_can_push_may(seat: Seat) -> None:
    may = {name: seat.forge.may_write(name) for name in ("alice", "bob", "carol", "mallory", "nobody", "../alice")}
    assert may == {"alice": True, "bob": True, "carol": False, "mallory": False, "nobody": False, "../alice": False}
    assert seat.forge.default_branch() == "main"


def test_forge_when_an_issue_is_read_then_only_comments_of_writers_come_with_it(seat: Seat) -> None:
    seat.comment("I can write", "bob")
    seat.comment("I cannot", "mallory")
    found = seat.forge.get_issue(seat.forge.issue_ref(1))
    assert (found.title, found.body, found.number) == ("total() is one too high", "It gives 4.", 1)
    assert found.author == "carol"
    assert [(entry.author, entry.body) for entry in found.comments] == [("bob", "I can write")]


def test_forge_when_there_are_hundreds_of_comments_then_the_newest_of_writers_come_with_it(seat: Seat) -> None:
    for number in range(25):
        seat.comment(f"old {number}", "bob")
    for _ in range(230):
        seat.comment("+1", "mallory")
    seat.comment("the newest", "bob")
    found = seat.forge.get_issue(seat.forge.issue_ref(1))
    assert [entry.body for entry in found.comments] == [*(f"old {number}" for number in range(6, 25)), "the newest"]
    assert found.warnings == ("Only the newest 20 comments of people who can write are shown.",)


@pytest.mark.parametrize("kind", ["gitlab", "gitea"])
def test_forge_when_hundreds_of_strangers_comment_then_few_of_them_are_asked_for(
    kind: ForgeKind, tmp_path: Path
) -> None:
    with seated(kind, tmp_path) as seat:
        seat.comment("long ago", "bob")
        for number in range(200):
            seat.comment("+1", f"stranger{number}")
        seat.comment("I can write", "alice")
        found = seat.forge.get_issue(seat.forge.issue_ref(1))
        assert [entry.author for entry in found.comments] == ["alice"]
        assert found.warnings == ("Only the comments of the 50 people who commented last were looked at.",)
        assert len(seat.fake.requests) < 120


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["rate", "502"])
def test_forge_when_it_hesitates_while_an_issue_is_read_then_it_is_read_all_the_same(
    kind: ForgeKind, fault: Any, tmp_path: Path
) -> None:
    with seated(kind, tmp_path) as seat:
        seat.fake.faults.append(Fault("GET", "/issues/1$", fault))
        assert seat.forge.get_issue(seat.forge.issue_ref(1)).title == "total() is one too high"


def test_forge_when_an_issue_changes_then_its_state_says_so(seat: Seat) -> None:
    state = seat.forge.issue_state(1)
    assert (state.open, state.locked, state.assignees, state.labels, state.is_pull) == (True, False, (), (), False)
    about = seat.repository.issues[1]
    about.state, about.locked, about.assignees, about.labels = "closed", True, ["bob"], ["ostro"]
    state = seat.forge.issue_state(1)
    assert (state.open, state.locked, state.assignees, state.labels) == (False, True, ("bob",), ("ostro",))


def test_decide_when_the_issue_is_not_there_any_more_then_it_is_skipped_but_a_lost_repository_is_an_error(
    seat: Seat,
) -> None:
    job = Job(seat.repository.full_name, issue=1, actor="bob", token=TOKEN, kind=seat.kind, api_url=seat.api.url)
    del seat.repository.issues[1]
    assert decide(job, seat.forge) == Skip("issue #1 is not there: it was deleted, or moved to another repository")
    assert not gone(seat.forge, ForgeError("x", kind="lost"))
    del seat.fake.world.repositories[seat.repository.full_name]
    with pytest.raises(ForgeError) as caught:
        gone(seat.forge, ForgeError("x", kind="missing"))
    assert caught.value.forge_kind == "missing"


def test_publish_when_the_issue_was_deleted_meanwhile_then_that_is_no_failure(seat: Seat) -> None:
    evidence = green_evidence(seat.repository)
    del seat.repository.issues[1]
    found = seat.publish_evidence(evidence)
    assert (found.status, seat.fake.writes()) == ("refused", [])
    assert "deleted or moved" in found.told


def test_forge_when_labels_are_put_on_and_taken_off_then_both_can_be_repeated(seat: Seat) -> None:
    for _ in range(2):
        seat.forge.add_label(1, "ostro-failed")
    assert seat.repository.issues[1].labels == ["ostro-failed"]
    for _ in range(2):
        seat.forge.remove_label(1, "ostro-failed")
    assert seat.repository.issues[1].labels == []


def test_forge_when_asked_for_labelled_issues_then_the_oldest_open_one_is_first(seat: Seat) -> None:
    world = seat.fake.world
    for number in range(2, 60):
        world.add_issue(seat.repository, f"issue {number}")
        world.add_label(seat.repository, number, "ostro", actor="bob")
    world.add_label(seat.repository, 1, "other", actor="bob")
    world.add_label(seat.repository, 1, "ostro", actor="carol")
    seat.repository.issues[3].state = "closed"
    assert seat.forge.labelled("ostro") == (1, 2, *range(4, 60))
    assert (seat.forge.who_labelled(1, "ostro"), seat.forge.who_labelled(1, "never")) == ("carol", "")


def test_forge_when_it_comments_then_its_own_comment_is_known_again_and_a_copy_is_not(seat: Seat) -> None:
    seat.comment(MARKER + "forged", "mallory")
    assert not own_notes(seat.forge.notes(1), 1)
    made = seat.forge.create_note(1, MARKER + "ours")
    (found,) = own_notes(seat.forge.notes(1), 1)
    assert (found.id, found.body) == (made.id, MARKER + "ours")
    assert seat.forge.update_note(1, made.id, MARKER + "changed").body == MARKER + "changed"
    assert [entry.body for entry in seat.repository.comments] == [MARKER + "forged", MARKER + "changed"]


def test_forge_when_two_jobs_comment_in_the_same_moment_then_one_comment_stays(seat: Seat) -> None:
    path = {"github": "/comments$", "gitlab": "/notes$", "gitea": "/comments$"}[seat.kind]
    theirs = partial(seat.comment, MARKER + "accepted", LOGINS[seat.kind])
    seat.fake.faults.append(Fault("POST", path, "none", strike=theirs))
    note = ensure_note(seat.forge, 1, MARKER + "ours")
    assert [(entry.id, entry.body) for entry in seat.repository.comments] == [(note.id, MARKER + "ours")]
    seat.forge.delete_note(1, note.id)
    seat.forge.delete_note(1, note.id)
    assert seat.repository.comments == []


def test_github_when_a_writer_keeps_their_membership_private_then_their_comment_is_read(tmp_path: Path) -> None:
    with seated("github", tmp_path) as seat:
        seat.repository.private_members |= {"mallory", "bob"}
        seat.comment("I can write", "bob")
        seat.comment("I contributed once", "mallory")
        found = seat.forge.get_issue(seat.forge.issue_ref(1))
        assert [(entry.author, entry.body) for entry in found.comments] == [("bob", "I can write")]


def test_github_when_a_member_who_cannot_write_copies_our_marker_then_it_is_not_ours(tmp_path: Path) -> None:
    with seated("github", tmp_path) as seat:
        seat.repository.members |= {"mallory", "bob"}
        seat.comment(MARKER + "forged", "mallory")
        assert own_notes(seat.forge.notes(1), 1) == ()
        seat.comment(MARKER + "by hand", "bob")
        assert [note.author for note in own_notes(seat.forge.notes(1), 1)] == ["bob"]


def test_forge_when_a_pull_request_is_made_then_it_is_a_draft_and_found_by_its_branch(seat: Seat) -> None:
    commit = seat.push("ostro/issue-1")
    seat.push("other")
    made = seat.forge.create_pull(branch="ostro/issue-1", base="main", title="fix: it (#1)", body="why")
    seat.forge.create_pull(branch="other", base="main", title="other", body="")
    assert (made.draft, made.open, made.merged, made.from_here) == (True, True, False, True)
    assert (made.head_branch, made.head_commit, made.base_branch) == ("ostro/issue-1", commit, "main")
    assert [pull.number for pull in seat.forge.pulls_of("ostro/issue-1")] == [made.number]
    assert seat.forge.pull(made.number).body == "why"
    changed = seat.forge.update_pull(made.number, title=made.title, body="more")
    assert (changed.body, changed.draft) == ("more", True)
    seat.forge.label_pull(made.number, "ostro-draft")
    assert seat.repository.issues[2].labels == ["ostro-draft"]
    assert seat.repository.issues[1].labels == []
    with pytest.raises(ForgeError) as caught:
        seat.forge.create_pull(branch="ostro/issue-1", base="main", title="again", body="")
    assert caught.value.forge_kind in ("invalid", "conflict")


def test_forge_when_a_fork_has_a_branch_of_our_name_then_its_pull_request_is_not_ours(seat: Seat) -> None:
    about = seat.fake.world.add_issue(seat.repository, "evil", author="mallory")
    seat.repository.pulls[about.number] = Pull(about.number, "ostro/issue-1", "main", True, "mallory/widget")
    assert own_pulls(seat.forge, 1) == ()


def test_forge_when_a_pull_request_ends_then_it_is_seen_as_merged_or_closed(seat: Seat) -> None:
    seat.push("ostro/issue-1")
    made = seat.forge.create_pull(branch="ostro/issue-1", base="main", title="t", body="")
    seat.repository.issues[2].state = "closed"
    found = seat.forge.pull(made.number)
    assert (found.open, found.merged) == (False, False)
    seat.repository.pulls[2].merged = True
    (found,) = seat.forge.pulls_of("ostro/issue-1")
    assert (found.open, found.merged) == (False, True)


def test_forge_when_checks_have_failed_then_only_those_are_named(seat: Seat) -> None:
    commit = seat.push("ostro/issue-1")
    runs = [CheckRun("lint", "success"), CheckRun("tests", "failure", "2 failed"), CheckRun("docs", "neutral")]
    seat.repository.checks[commit] = runs
    (failed,) = seat.forge.failed_checks(commit)
    assert (failed.name, failed.summary) == ("tests", "2 failed")


def test_forge_when_something_is_missing_or_refused_then_the_error_says_which(seat: Seat) -> None:
    with pytest.raises(ForgeError) as missing:
        seat.forge.issue_state(99)
    assert missing.value.forge_kind == "missing"
    seat.fake.world.tokens[TOKEN].write = False
    with pytest.raises(ForgeError) as forbidden:
        seat.forge.create_note(1, "x")
    assert forbidden.value.forge_kind == "forbidden"
    with (
        APIS[seat.kind](seat.api.url, "a-wrong-token", wait=lambda _: None) as api,
        pytest.raises(ForgeError) as refused,
    ):
        forge_of(seat.kind, seat.repository, api, seat.fake.url, "a-wrong-token").default_branch()
    assert refused.value.forge_kind == "auth"
    assert "a-wrong-token" not in str(refused.value)


LOST = {
    "github": ("/pulls$", "/comments$"),
    "gitlab": ("/merge_requests$", "/notes$"),
    "gitea": ("/pulls$", "/comments$"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault", ["", "lost", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cut", "502", "rate"))]
)
def test_publish_on_every_forge_when_answers_fail_then_one_of_each_stands_there(
    kind: ForgeKind, fault: Any, tmp_path: Path
) -> None:
    with seated(kind, tmp_path) as seat:
        seat.fake.faults += [Fault("POST", path, fault) for path in LOST[kind] if fault]
        first, second = seat.publish(), seat.publish()
        assert (first.status, second.status, first.commit) == ("pull", "pull", second.commit)
        assert seat.repository.branches() == ["main", "ostro/issue-1"]
        (pull,) = seat.repository.pulls.values()
        about = seat.repository.issues[pull.number]
        assert pull.draft
        assert f"{seat.forge.closing} #1" in about.body
        assert about.labels == ["ostro-draft"]
        (comment,) = seat.repository.comments
        assert comment.author == LOGINS[kind]
        assert f"Draft {seat.forge.pull_sign}" in comment.body


@pytest.mark.parametrize("kind", KINDS)
def test_forge_when_there_is_a_pull_request_already_then_its_refusal_says_so(kind: ForgeKind, tmp_path: Path) -> None:
    with seated(kind, tmp_path) as seat:
        seat.push("ostro/issue-1")
        seat.forge.create_pull(branch="ostro/issue-1", base="main", title="one", body="")
        with pytest.raises(ForgeError, match=r"(pull|merge) request already exists"):
            seat.forge.create_pull(branch="ostro/issue-1", base="main", title="two", body="")


def test_gitlab_when_the_token_is_another_ones_by_now_then_a_comment_of_it_serves_from_then_on(tmp_path: Path) -> None:
    with seated("gitlab", tmp_path) as seat:
        seat.publish()
        seat.fake.world.add_user("project_7_bot_new")
        seat.repository.permissions["project_7_bot_new"] = "write"
        seat.fake.world.add_token(TOKEN, "project_7_bot_new")
        for number in (2, 3):
            assert seat.publish(run_id=f"run-{number}", finished_at=1_800_000_000 + number).status == "pull"
        old, new = seat.repository.comments
        assert (old.author, new.author) == (LOGINS["gitlab"], "project_7_bot_new")
        assert (len(seat.repository.pulls), seat.repository.branches()) == (1, ["main", "ostro/issue-1"])


def test_gitlab_when_the_issue_became_confidential_meanwhile_then_nothing_of_it_is_shown(tmp_path: Path) -> None:
    with seated("gitlab", tmp_path) as seat:
        seat.repository.issues[1].confidential = True
        found = seat.publish()
        assert (found.status, seat.fake.writes(), seat.repository.branches()) == ("refused", [], ["main"])
        assert "confidential" in found.told


def test_gitlab_when_a_run_is_published_then_who_asked_is_named_by_an_address_of_the_forge(tmp_path: Path) -> None:
    with seated("gitlab", tmp_path) as seat:
        seat.publish(actor="bob")
        message = seat.repository.git("log", "-1", "--format=%B", "ostro/issue-1")
        number = seat.fake.world.users["bob"].id
        assert f"Co-authored-by: bob <{number}-bob@users.noreply.127.0.0.1>" in message


def test_gitlab_when_a_comment_is_internal_then_no_model_is_shown_it(tmp_path: Path) -> None:
    with seated("gitlab", tmp_path) as seat:
        seat.comment("the customer is called X", "bob")
        seat.repository.comments[0].internal = True
        assert seat.forge.get_issue(seat.forge.issue_ref(1)).comments == ()


def test_forgejo_when_its_own_jobs_commented_then_the_comment_is_ours(tmp_path: Path) -> None:
    with seated("gitea", tmp_path) as seat:
        seat.fake.world.add_user("forgejo-actions", "Bot")
        seat.comment(MARKER, "forgejo-actions")
        assert own_notes(seat.forge.notes(1), 1)
        assert seat.forge.may_write("forgejo-actions") is False


def test_gitea_when_a_person_takes_the_name_of_the_jobs_of_forgejo_then_their_comment_is_not_ours(
    tmp_path: Path,
) -> None:
    with seated("gitea", tmp_path) as seat:
        seat.comment(MARKER, "forgejo-actions")
        assert own_notes(seat.forge.notes(1), 1) == ()


WEB = {"github": "/acme/widget/issues/1", "gitlab": "/acme/widget/-/issues/1", "gitea": "/acme/widget/issues/1"}


def reading(seat: Seat, token: str) -> dict[str, str]:
    """What a user sets to read issues of a forge of their own."""
    if seat.kind == "gitlab":
        return {"CI_SERVER_URL": seat.fake.url, "GITLAB_TOKEN": token}
    return {"OSTRO_GITHUB_API": seat.api.url, "GITHUB_TOKEN": token}


def test_read_issue_when_given_an_address_of_any_forge_then_issue_and_writers_comments_come(seat: Seat) -> None:
    seat.comment("I can write", "bob")
    seat.comment("I cannot", "mallory")
    issue = read_issue(seat.fake.url + WEB[seat.kind], env=reading(seat, TOKEN))
    assert (issue.title, issue.body, issue.number) == ("total() is one too high", "It gives 4.", 1)
    assert [entry.author for entry in issue.comments] == ["bob"]


def test_read_issue_when_the_address_is_of_another_host_then_no_token_goes_there(tmp_path: Path) -> None:
    with seated("gitlab", tmp_path) as seat:
        read_issue(seat.fake.url + WEB["gitlab"], env={"GITLAB_TOKEN": TOKEN, "GITHUB_TOKEN": TOKEN})
        assert seat.fake.requests
        assert not [asked for asked in seat.fake.requests if TOKEN in str(asked.headers)]


@pytest.mark.parametrize(
    ("url", "owner", "name"),
    [
        ("https://gitlab.com/group/sub/name/-/issues/7", "group/sub", "name"),
        ("https://gitlab.example.org:8443/g/n/-/work_items/7#note_3", "g", "n"),
        ("https://gitlab.com/g/n/issues/7", "g", "n"),
    ],
)
def test_issue_ref_when_given_an_address_of_gitlab_then_group_and_number(url: str, owner: str, name: str) -> None:
    ref = issue_ref(url, origin_url=None)
    assert ref is not None
    assert (ref.kind, ref.owner, ref.repository, ref.number) == ("gitlab", owner, name, 7)


def test_read_issue_when_nobody_knows_the_host_then_no_other_forge_is_asked_instead() -> None:
    with pytest.raises(IssueError, match=r"whose API git\.example\.org speaks") as caught:
        read_issue("https://git.example.org/o/r/issues/7", env={})
    assert "https://git.example.org/api/v3" in caught.value.mend


@pytest.mark.parametrize("origin", ["git@gitlab.com:g/sub/n.git", "https://gitlab.com/g/sub/n.git"])
def test_issue_ref_when_the_origin_is_on_gitlab_then_a_number_is_one_of_its_issues(origin: str) -> None:
    ref = issue_ref("7", origin_url=origin)
    assert ref is not None
    assert (ref.url, ref.kind) == ("https://gitlab.com/g/sub/n/-/issues/7", "gitlab")


@pytest.mark.parametrize("kind", ["gitlab", "gitea"])
def test_read_issue_when_there_is_no_token_then_the_issue_comes_without_comments(
    kind: ForgeKind, tmp_path: Path
) -> None:
    with seated(kind, tmp_path) as seat:
        seat.comment("I can write", "bob")
        issue = read_issue(seat.fake.url + WEB[kind], env=reading(seat, ""))
        assert (issue.title, issue.comments) == ("total() is one too high", ())
        assert "comments of the issue were not read" in issue.warnings[0]


def test_gitea_when_the_token_may_not_ask_who_may_write_then_nobody_may(tmp_path: Path) -> None:
    with seated("gitea", tmp_path) as seat:
        seat.repository.permissions[LOGINS["gitea"]] = "write"
        with pytest.raises(ForgeError) as caught:
            seat.forge.may_write("bob")
        assert caught.value.forge_kind == "forbidden"
        assert "docs/ci.md" in caught.value.mend
