"""Where issues come from and pull requests go."""

from ostro.forge.issue import issue_from_text, read_issue, to_task
from ostro.forge.protocol import Comment, FetchedImage, Issue, IssueLimits, IssueReader, IssueRef

__all__ = [
    "Comment",
    "FetchedImage",
    "Issue",
    "IssueLimits",
    "IssueReader",
    "IssueRef",
    "issue_from_text",
    "read_issue",
    "to_task",
]
