"""An evaluation as JUnit XML, which every CI shows: a test case is one sample of an instance. Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from ostro.benchmarks.results import label
from ostro.benchmarks.store import Run

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, even escaped."""


def junit(run: Run) -> str:
    """Return junit.xml: a test case for each instance and sample, with its status as the type of the failure."""
    statuses = [result.status for result in run.results]
    samples = run.manifest.samples
    there = {(result.instance_id, result.sample) for result in run.results}
    asked = [(name, sample) for name in run.instance_ids for sample in range(1, samples + 1)]
    missing = [label(*one, samples) for one in asked if one not in there]
    skipped = sum(status in ("not_final", "quarantined") for status in statuses) + len(missing)
    errors = statuses.count("infra")
    suite = ET.Element(
        "testsuite",
        name=_xml(run.manifest.run_id),
        tests=str(len(statuses) + len(missing)),
        failures=str(len(statuses) + len(missing) - statuses.count("resolved") - skipped - errors),
        errors=str(errors),
        skipped=str(skipped),
        time=f"{sum(result.seconds for result in run.results):.3f}",
    )
    for result in run.results:
        case = _case(suite, run, result.label(samples), result.seconds)
        if result.status == "resolved":
            continue
        kind = {"infra": "error", "not_final": "skipped", "quarantined": "skipped"}.get(result.status, "failure")
        ET.SubElement(case, kind, message=_xml(result.remarks or result.status), type=result.status)
    for name in missing:
        ET.SubElement(_case(suite, run, name, 0.0), "skipped", message="no result yet")
    document = ET.Element("testsuites")
    document.append(suite)
    ET.indent(document)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(document, encoding="unicode") + "\n"


def _case(suite: ET.Element, run: Run, name: str, seconds: float) -> ET.Element:
    dataset = _xml(run.manifest.dataset)
    return ET.SubElement(suite, "testcase", classname=dataset, name=_xml(name), time=f"{seconds:.3f}")


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
