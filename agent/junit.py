"""JUnit XML, as continuous integration reads it. Pure.

benchmarks/junit.py -> junit for an evaluation, forge/reports.py -> junit for the tests of one run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

Kind = Literal["passed", "failure", "error", "skipped"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, even escaped."""


@dataclass(frozen=True)
class Case:
    """One test case.

    Attributes:
        kind: `failure` a verdict, `error` none could be had, `skipped` not run.
        type: what kind of failure, one word; "" for none.
    """

    classname: str
    name: str
    seconds: float = 0.0
    kind: Kind = "passed"
    type: str = ""
    message: str = ""


def junit(name: str, cases: Sequence[Case]) -> str:
    """Return a document with one suite; any text is taken, what XML cannot hold is replaced."""
    kinds = Counter(case.kind for case in cases)
    suite = ET.Element(
        "testsuite",
        name=_xml(name),
        tests=str(len(cases)),
        failures=str(kinds["failure"]),
        errors=str(kinds["error"]),
        skipped=str(kinds["skipped"]),
        time=f"{sum(case.seconds for case in cases):.3f}",
    )
    for case in cases:
        element = ET.SubElement(
            suite, "testcase", classname=_xml(case.classname), name=_xml(case.name), time=f"{case.seconds:.3f}"
        )
        if case.kind != "passed":
            about = {"message": _xml(case.message), "type": _xml(case.type)}
            ET.SubElement(element, case.kind, {key: value for key, value in about.items() if value})
    document = ET.Element("testsuites")
    document.append(suite)
    ET.indent(document)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(document, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
