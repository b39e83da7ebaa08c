"""A stateful fake of a forge: its REST API and real git over HTTP, on loopback, in threads of this process.

`world.py` is what it knows, `github.py` how GitHub shows and changes it, `git_http.py` serves the repositories,
`server.py` is the front with faults and records, `description.py` compares what is said with GitHub's own description.
"""

from tests.forge.fake.server import FakeForge, Fault, Recorded
from tests.forge.fake.world import World

__all__ = ["FakeForge", "Fault", "Recorded", "World"]
