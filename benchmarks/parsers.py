"""Which function reads which log: by our names and by those of swebench's `log_parser` column.

A parser is a pure function from the text of a test run to what it says of each test. Called by benchmarks/verdict.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ostro.benchmarks.parsers_other import (
    parse_cargo,
    parse_go,
    parse_jest,
    parse_jest_json,
    parse_maven,
    parse_node,
    parse_tap,
    parse_vitest,
)
from ostro.benchmarks.parsers_python import (
    parse_django,
    parse_matplotlib,
    parse_pytest,
    parse_pytest_options,
    parse_pytest_v2,
    parse_seaborn,
    parse_sympy,
)
from ostro.benchmarks.statuses import Statuses

Parser = Callable[[str], Statuses]

PARSERS: Mapping[str, Parser] = {
    "pytest": parse_pytest,
    "pytest_options": parse_pytest_options,
    "pytest_v2": parse_pytest_v2,
    "matplotlib": parse_matplotlib,
    "seaborn": parse_seaborn,
    "django": parse_django,
    "unittest": parse_django,
    "sympy": parse_sympy,
    "gotest": parse_go,
    "cargo": parse_cargo,
    "maven": parse_maven,
    "jest": parse_jest,
    "jest_json": parse_jest_json,
    "vitest": parse_vitest,
    "tap": parse_tap,
    "node": parse_node,
}

_SAME_AS: Mapping[str, str] = {
    **dict.fromkeys(("astroid", "flask", "marshmallow", "pvlib", "pyvista", "sqlfluff", "xarray"), "pytest"),
    **dict.fromkeys(("pydicom", "requests", "pylint"), "pytest_options"),
    **dict.fromkeys(("astropy", "scikit", "sphinx"), "pytest_v2"),
    "go": "gotest",
}
"""Names of swebench's that are another parser's under a project's name (5.0.2, harness/log_parsers)."""

PYTEST_FAMILY = frozenset({"pytest", "pytest_options", "pytest_v2", "matplotlib", "seaborn"})
UNITTEST_FAMILY = frozenset({"django", "unittest"})


def canonical_name(name: str) -> str:
    """Return our name of a parser: `parse_log_flask` is `pytest`. An unknown name comes back as it is."""
    short = name.removeprefix("parse_log_")
    return _SAME_AS.get(short, short)
