"""Command line of the scripted endpoint with every fault known: `python -m tests.endpoint --help`."""

from ostro.benchmarks.scripted_endpoint import main
from tests.endpoint import FAULTS

raise SystemExit(main(known_faults=FAULTS))
