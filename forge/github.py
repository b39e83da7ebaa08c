"""Read an issue through GitHub's REST API; public ones need no token.

A token goes to the API's own host only: a redirect to another host is not followed. Shapes: docs.github.com/en/rest.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, model_validator

from ostro.agent.errors import IssueError
from ostro.forge.fetch import Fetched, fetch
from ostro.forge.protocol import TRUSTED_ASSOCIATIONS, Comment, ForgeKind, Issue, IssueLimits, IssueRef

if TYPE_CHECKING:
    import httpx2

PUBLIC_API = "https://api.github.com"
PUBLIC_HOST = "github.com"
API_VERSION = "2022-11-28"
MAX_REDIRECTS = 3
PAGE = 100  # GitHub's largest page
ANSWER_BYTES = 16 * 1024 * 1024  # a page of comments of 64 KiB each, as JSON

_NAME = r"(?!\.{1,2}(?:[/#]|\Z))[A-Za-z0-9_.-]+"
_ISSUE_PATH = re.compile(rf"/(?P<owner>{_NAME})/(?P<repo>{_NAME})/(?P<kind>issues|pull)/(?P<number>[0-9]{{1,18}})/?")
_GITLAB_PATH = re.compile(
    rf"/(?P<owner>{_NAME}(?:/{_NAME})*)/(?P<repo>{_NAME})/-/(?:issues|work_items)/(?P<number>[0-9]{{1,18}})/?"
)
_SHORT = re.compile(rf"(?P<owner>{_NAME})/(?P<repo>{_NAME})#(?P<number>[0-9]{{1,18}})")
_GROUPS = rf"{_NAME}(?:/{_NAME})*"
_SCP_LIKE = re.compile(rf"[\w.-]+@(?P<host>[\w.-]+):/?(?P<owner>{_GROUPS})/(?P<repo>{_NAME}?)(\.git)?/?")
_ORIGIN_PATH = re.compile(rf"/(?P<owner>{_GROUPS})/(?P<repo>{_NAME}?)(\.git)?/?")


class _Wire(BaseModel):
    """What is read of GitHub's objects; null stands for the default, unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: entry for key, entry in cast("dict[str, object]", value).items() if entry is not None}


class _WireUser(_Wire):
    login: str = ""


class _WireComment(_Wire):
    body: str = ""
    user: _WireUser = _WireUser()
    author_association: str = ""


class _WireComments(RootModel[list[_WireComment]]):
    pass


class _WireIssue(_WireComment):
    title: str
    html_url: str = ""
    state: str = ""
    comments: int = 0
    pull_request: dict[str, object] | None = None


_Shape = TypeVar("_Shape", bound=BaseModel)


class GitHub:
    """GitHub, or a GitHub Enterprise server, seen through its REST API.

    Attributes:
        api_url: `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise server.
    """

    def __init__(self, *, api_url: str = PUBLIC_API, token: str = "", limits: IssueLimits | None = None) -> None:
        self.api_url = checked_api(api_url)
        self._token = token
        self._limits = limits or IssueLimits()

    def get_issue(self, ref: IssueRef) -> Issue:
        """Return the issue with the comments of people who can write to the repository, without pictures.

        Raises:
            IssueError: missing, private, a pull request, the rate limit is used up, or GitHub does not answer.
        """
        import httpx2

        path = f"/repos/{ref.owner}/{ref.repository}/issues/{ref.number}"
        with httpx2.Client(follow_redirects=False) as client:
            found = self._read_as(_WireIssue, client, path, ref)
            if found.pull_request is not None:
                raise IssueError(f"{ref.url} is a pull request, not an issue", mend="Give the issue that it fixes.")
            if len(found.body) > self._limits.file_bytes:
                limit = self._limits.file_bytes // 1024
                raise IssueError(f"{ref.url} is larger than the limit of {limit} KiB", mend="Give its core as a file.")
            comments, told = self._comments(client, f"{path}/comments", ref, found.comments)
        return Issue(
            title=found.title,
            body=found.body,
            source=ref.url,
            url=found.html_url or ref.url,
            number=ref.number,
            author=found.user.login,
            association=found.author_association,
            comments=comments,
            warnings=(*(["The issue is closed."] if found.state == "closed" else []), *told),
        )

    def _comments(
        self, client: httpx2.Client, path: str, ref: IssueRef, count: int
    ) -> tuple[tuple[Comment, ...], tuple[str, ...]]:
        """Read the newest comments, page by page from the last one; GitHub lists the oldest first."""
        wanted, left = self._limits.comments, (count + PAGE - 1) // PAGE
        trusted: list[Comment] = []
        try:
            while left and len(trusted) < wanted:
                listed = self._read_as(_WireComments, client, f"{path}?per_page={PAGE}&page={left}", ref).root
                left -= 1
                trusted[:0] = [
                    Comment(author=entry.user.login, association=entry.author_association, body=entry.body)
                    for entry in listed
                    if entry.author_association in TRUSTED_ASSOCIATIONS
                ]
        except IssueError as error:
            return tuple(trusted), (f"The comments of the issue were not read: {error}.",)
        cut = wanted and (left or len(trusted) > wanted)
        told = (f"Only the newest {wanted} comments of people who can write are shown.",) if cut else ()
        return tuple(trusted[max(0, len(trusted) - wanted) :]), told

    def _read_as(self, shape: type[_Shape], client: httpx2.Client, path: str, ref: IssueRef) -> _Shape:
        answer = self._get(client, path)
        if answer.status != 200:
            raise self._refusal(answer, ref)
        try:
            return shape.model_validate_json(answer.body)
        except ValidationError as error:
            raise IssueError(
                f"{ref.url}: the answer is not an issue as GitHub sends it", mend="Check OSTRO_GITHUB_API."
            ) from error

    def _get(self, client: httpx2.Client, path: str) -> Fetched:
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": API_VERSION,
            "User-Agent": "ostro",
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        url = self.api_url + path
        for _ in range(MAX_REDIRECTS + 1):
            answer = fetch(client, url, headers=headers, max_bytes=ANSWER_BYTES, timeout_s=self._limits.timeout_s)
            if not answer.location:
                return answer
            url = self._same_host(urljoin(url, answer.location))
        raise IssueError(f"{urlsplit(self.api_url).netloc} redirects in a circle")

    def _same_host(self, url: str) -> str:
        here, there = urlsplit(self.api_url), urlsplit(url)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise IssueError(
                f"{here.netloc} redirects to another host ({there.netloc}), which is not followed",
                mend="Check OSTRO_GITHUB_API.",
            )
        return url

    def _refusal(self, answer: Fetched, ref: IssueRef) -> IssueError:
        if _rate_limited(answer):
            mend = "Wait, or set GITHUB_TOKEN." if not self._token else "Wait until then."
            return IssueError(f"GitHub's rate limit is used up; it resets {_reset_of(answer)}", mend=mend)
        if answer.status == 401:
            return IssueError("GitHub refuses the token in GITHUB_TOKEN", mend="Set a valid one, or unset it.")
        if answer.status in (403, 404):
            mend = "Check the number; a private one needs GITHUB_TOKEN with access to the repository."
            return IssueError(f"{ref.url} does not exist or is private", mend=mend)
        if answer.status in (410, 451):
            return IssueError(f"{ref.url} was deleted")
        return IssueError(
            f"GitHub answers with status {answer.status}", mend="Try again later, or give the issue as a file."
        )


def issue_ref(text: str, *, origin_url: str | None) -> IssueRef | None:
    """Return the issue that `text` names: an address, `owner/name#7`, `#7` or `7`; None when it names none.

    Args:
        text: what the user typed.
        origin_url: URL of the repository's remote, which a bare number needs.

    Raises:
        IssueError: a bare number without a usable origin, or an address that is no issue.
    """
    if text.startswith(("https://", "http://")):
        return _ref_of_url(text)
    short = _SHORT.fullmatch(text)
    if short is not None:
        return IssueRef(PUBLIC_HOST, short["owner"], short["repo"], int(short["number"]))
    number = text.removeprefix("#")
    if not (number.isascii() and number.isdecimal()) or len(number) > 18:
        return None
    where = repository_of(origin_url or "")
    if where is None:
        raise IssueError(
            f"issue {number}: the repository has no remote `origin` on a forge to look it up in",
            mend="Give the issue's URL, or a file.",
        )
    return IssueRef(*where, number=int(number), kind=_kind_of(where[0]))


def _kind_of(host: str) -> ForgeKind:
    """Tell a GitLab by its name; a server with another name is known by the address of its issues."""
    return "gitlab" if host.startswith("gitlab.") else "github"


def repository_of(url: str) -> tuple[str, str, str] | None:
    """Return host, owner and name of the repository behind a remote's URL; None for a path or another form."""
    match = _SCP_LIKE.fullmatch(url)
    if match is not None:
        return _with_groups(match["host"].lower(), match["owner"], match["repo"])
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None
    match = _ORIGIN_PATH.fullmatch(parts.path)
    if parts.scheme not in ("https", "http", "ssh", "git") or not host or match is None:
        return None
    return _with_groups("github.com" if host == "ssh.github.com" else host, match["owner"], match["repo"])


def _with_groups(host: str, owner: str, name: str) -> tuple[str, str, str] | None:
    """Return the three, None for groups within groups, which GitLab alone has."""
    return (host, owner, name) if "/" not in owner or _kind_of(host) == "gitlab" else None


def _ref_of_url(url: str) -> IssueRef:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise IssueError(f"{url} is not a valid URL: {error}") from error
    elsewhere = _GITLAB_PATH.fullmatch(parts.path)
    if elsewhere is not None and host:
        where = parts.netloc.rpartition("@")[2].lower()
        return IssueRef(where, elsewhere["owner"], elsewhere["repo"], int(elsewhere["number"]), kind="gitlab")
    match = _ISSUE_PATH.fullmatch(parts.path)
    if match is None or not host:
        raise IssueError(
            f"{url} is not the address of an issue", mend="It looks like https://github.com/OWNER/NAME/issues/NUMBER."
        )
    if match["kind"] == "pull":
        raise IssueError(f"{url} is a pull request, not an issue", mend="Give the issue that it fixes.")
    host = host.removeprefix("www.")
    return IssueRef(host, match["owner"], match["repo"], int(match["number"]), kind=_kind_of(host))


def checked_api(url: str) -> str:
    """Return the address of an API without a slash at its end.

    Raises:
        IssueError: it is no https URL, nor http on loopback.
    """
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and local)):
        raise IssueError(f"{url!r} is not the address of a GitHub API", mend="OSTRO_GITHUB_API must be an https URL.")
    return url.rstrip("/")


def _rate_limited(answer: Fetched) -> bool:
    if answer.status == 429:
        return True
    return answer.status == 403 and (
        answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    )


def _reset_of(answer: Fetched) -> str:
    after, reset = answer.headers.get("retry-after", ""), answer.headers.get("x-ratelimit-reset", "")
    now = time.time()
    if after.isdecimal():
        when = now + int(after[:9])
    elif reset.isdecimal():
        when = float(reset[:12])
    else:
        return "within the hour"
    minutes = max(1, round((when - now) / 60))
    return f"at {datetime.fromtimestamp(when, UTC):%H:%M} UTC, in {minutes} min"
