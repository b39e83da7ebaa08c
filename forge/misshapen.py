"""Say in one line what is wrong with data from outside that does not have the shape it should have."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong, with its place, without the data itself."""
    first = error.errors(include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
