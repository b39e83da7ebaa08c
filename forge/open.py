"""Open the forge that a job runs on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ostro.forge.job import Job
from ostro.forge.protocol import Forge


@contextmanager
def open_forge(job: Job) -> Generator[Forge]:
    """Give the job's repository on its forge; the connections end with the block.

    Raises:
        IssueError: the address of the API is no https URL.
    """
    if job.kind == "gitlab":
        from ostro.forge.gitlab import GitLabProject, gitlab_api

        with gitlab_api(job.api_url, job.token) as api:
            yield GitLabProject(job.repository, job.token, api, server_url=job.server_url)
    elif job.kind == "gitea":
        from ostro.forge.gitea import GiteaRepository, gitea_api

        with gitea_api(job.api_url, job.token) as api:
            yield GiteaRepository(job.repository, job.token, api, server_url=job.server_url)
    else:
        from ostro.forge.github_repository import GitHubRepository, github_api

        with github_api(job.api_url, job.token) as api:
            yield GitHubRepository(job.repository, job.token, api, server_url=job.server_url)
