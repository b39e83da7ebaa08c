"""Which tools a run offers to its model: those of the settings, as far as the model can use them."""

from __future__ import annotations

import hashlib
import json

from ostro.agent.config import Settings
from ostro.agent.errors import UsageError
from ostro.agent.model.profile import ModelEntry
from ostro.tools.registry import Toolset


def toolset_of(settings: Settings, entry: ModelEntry) -> Toolset:
    """Return the tools that a run offers.

    Raises:
        UsageError: the settings name a tool that there is not.
    """
    toolset = Toolset.default(vision=entry.vision and settings.vision, command_timeout_s=settings.command_timeout)
    if settings.tools is None:
        return toolset
    unknown = [name for name in settings.tools if name not in toolset.names]
    if unknown:
        raise UsageError(
            f"there is no tool {unknown[0]!r} for this model", mend=f"Choose among {', '.join(toolset.names)}."
        )
    return toolset.only(settings.tools)


def toolset_digest(toolset: Toolset) -> str:
    """Return what a manifest holds as `tools_sha256`."""
    return hashlib.sha256(json.dumps(toolset.schemas(), sort_keys=True).encode()).hexdigest()
