"""Find the forge that an issue's address belongs to, and read the issue there; public ones need no token.

issue.py -> fetch_issue -> github.py, gitlab.py, gitea.py. A token is sent to the one host that the environment names
for it, never to a host that only an address names. Variables: OSTRO_GITHUB_API or GITHUB_API_URL (of GitHub, or of a
Gitea where it ends with /api/v1) with GITHUB_TOKEN or GH_TOKEN; CI_SERVER_URL with GITLAB_TOKEN.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from ostro.agent.errors import IssueError
from ostro.forge.github import PUBLIC_API, PUBLIC_HOST, GitHub
from ostro.forge.protocol import Issue, IssueLimits, IssueRef

GITEA_HOSTS = frozenset({"codeberg.org", "gitea.com"})
GITEA_ROOT = "/api/v1"
GITLAB_ROOT = "/api/v4"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def fetch_issue(ref: IssueRef, env: Mapping[str, str], limits: IssueLimits) -> tuple[Issue, frozenset[str]]:
    """Return an issue without pictures, and the hosts of its forge that may lie in a private network.

    Raises:
        IssueError: missing, private, not to be fetched, or nobody knows whose API its host speaks.
        ForgeError: GitLab or Gitea refuses or does not answer.
    """
    if ref.kind == "gitlab":
        return _of_gitlab(ref, env)
    api_url = (env.get("OSTRO_GITHUB_API") or env.get("GITHUB_API_URL") or PUBLIC_API).rstrip("/")
    token = env.get("GITHUB_TOKEN") or env.get("GH_TOKEN") or ""
    if ref.host in GITEA_HOSTS and urlsplit(api_url).hostname != ref.host:
        return _of_gitea(ref, f"https://{ref.host}{GITEA_ROOT}", "")
    if api_url.endswith(GITEA_ROOT):
        return _of_gitea(ref, api_url, token)
    if api_url == PUBLIC_API and ref.host != PUBLIC_HOST:
        raise IssueError(
            f"{ref.url}: it is not known whose API {ref.host} speaks",
            mend=f"Set OSTRO_GITHUB_API to https://{ref.host}/api/v3 (GitHub Enterprise) or /api/v1 (Gitea, Forgejo).",
        )
    issue = GitHub(api_url=api_url, token=token, limits=limits).get_issue(ref)
    return issue, _private(api_url)


def _of_gitlab(ref: IssueRef, env: Mapping[str, str]) -> tuple[Issue, frozenset[str]]:
    from ostro.forge.gitlab import GitLabProject, gitlab_api

    own = env.get("CI_SERVER_URL") or "https://gitlab.com"
    server = _server(ref.host)
    token = env.get("GITLAB_TOKEN", "") if server == own.rstrip("/").lower() else ""
    with gitlab_api(server + GITLAB_ROOT, token) as api:
        project = GitLabProject(f"{ref.owner}/{ref.repository}", token, api, server_url=server)
        return project.get_issue(ref), _private(own) if token else frozenset()


def _of_gitea(ref: IssueRef, api_url: str, token: str) -> tuple[Issue, frozenset[str]]:
    from ostro.forge.gitea import GiteaRepository, gitea_api

    with gitea_api(api_url, token) as api:
        server = api_url.removesuffix(GITEA_ROOT)
        return GiteaRepository(f"{ref.owner}/{ref.repository}", token, api, server_url=server).get_issue(ref), (
            _private(api_url)
        )


def _server(host: str) -> str:
    """Return the address of a host; without encryption on loopback only."""
    return f"{'http' if urlsplit('//' + host).hostname in LOOPBACK else 'https'}://{host}"


def _private(url: str) -> frozenset[str]:
    """Return the host of a server of one's own: it may well lie in a private network."""
    host = urlsplit(url).hostname or ""
    return frozenset() if host in ("api.github.com", "gitlab.com", *GITEA_HOSTS) else frozenset({host})
