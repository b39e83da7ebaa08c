"""One HTML file that holds everything: style, script and data, with no request to anywhere.

The data is untrusted text. The overview is JSON whose `<`, `>`, `&`, U+2028 and U+2029 are escaped, so that no script
element can end early; each instance is JSON, compressed, in base64. The script turns strings into text nodes only, and
a Content-Security-Policy with the hashes of the one style and the one script allows nothing else to run or load.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files

from pydantic import JsonValue

TEMPLATE = "page.html.j2"
STYLE = "page.css"
SCRIPTS = ("dom.js", "plots.js", "table.js", "overview.js", "diff.js", "steps.js", "instance.js", "main.js")
"""In the order in which they are put together; all of them share one scope."""

ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def render(title: str, overview: JsonValue, chunks: Sequence[str]) -> str:
    """Return the page.

    Args:
        title: of the window; the only text that is put into the markup, escaped.
        overview: what the script needs at once.
        chunks: what it needs of each instance, made by `packed`.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    style = _resource(STYLE)
    script = '"use strict";\n(() => {\n' + "\n".join(_resource(name) for name in SCRIPTS) + "\n})();\n"
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_resource(TEMPLATE)).render(
        title=title,
        style=Markup(style),  # noqa: S704  # ours
        script=Markup(script),  # noqa: S704  # ours
        style_hash=_hash(style),
        script_hash=_hash(script),
        overview=Markup(embedded(overview)),  # noqa: S704  # escaped for a script element
        chunks=chunks,
    )


def embedded(data: JsonValue) -> str:
    """Return JSON that can stand in a script element, whatever its strings hold."""
    return (
        json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        .translate(ESCAPED)
        .encode("utf-8", "replace")
        .decode()
    )  # a lone surrogate, which no file can hold, becomes a question mark


def packed(data: JsonValue) -> str:
    """Return JSON, compressed, in base64."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), compresslevel=9, mtime=0)).decode()


def _resource(name: str) -> str:
    return (files("ostro.benchmarks") / "page" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
