"""Markup of a Markdown text that a renderer does not show, as patterns and small pure functions.

For agent/hidden_text.py. Every pattern takes linear time (possessive quantifiers): the text may be an attack on it.
"""

from __future__ import annotations

import html
import html.entities
import re
from collections.abc import Iterator

HTML_TAG = re.compile(r"<[A-Za-z][\w-]*+(?:\s[^<>]*+)?>")
TEXT_ATTRIBUTE = re.compile(
    r"\s(?:alt|title|aria-[\w-]++|data-[\w-]++|placeholder|summary|label|content|value)\s*+=\s*+"
    r"(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)",
    re.IGNORECASE,
)
_INVISIBLE_STYLE = (
    r"(?<![\w-])(?:display\s*+:\s*+none|visibility\s*+:\s*+(?:hidden|collapse)|font-size\s*+:\s*+0"
    r"|color\s*+:\s*+(?:transparent|(?:white|#f{3}(?:f{3})?)\b)|opacity\s*+:\s*+(?:0++(?:\.0*+)?|\.0++)\s*+[;\"']"
    r"|(?:max-)?(?:width|height)\s*+:\s*+0(?![.\d])|(?:left|top|right|text-indent)\s*+:\s*+-\d{3,}|clip\s*+:\s*+rect\(0)"
)
HIDES = re.compile(
    r"\scolor\s*+=\s*+[\"']?(?:white|#f{3}(?:f{3})?)\b|\shidden(?=[\s=/]|\Z)|\saria-hidden\s*+=\s*+[\"']?true"
    rf"|\sstyle\s*+=\s*+(?:\"[^\"]*?|'[^']*?|)(?:{_INVISIBLE_STYLE})",
    re.IGNORECASE,
)
OPENING_TAG = re.compile(r"<(?P<name>[A-Za-z][\w-]*+)(?P<attributes>(?:\s[^<>]*+)?)>")
VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
_TITLE = r"(?:\"[^\"\n]*+\"|'[^'\n]*+'|\([^()\n]*+\))"
IMAGE_ALT = re.compile(r"!\[(?P<alt>(?:[^\[\]]|\[[^\[\]]*+\])++)\](?=\(|\[)")
LINK_TITLE = re.compile(
    rf"\]\(\s*+(?:<[^<>\n]*+>|[^\s()<>]++(?:\([^\s()]*+\)[^\s()]*+)*+)(?P<title>\s++{_TITLE})\s*+\)"
)
DEFINITION = re.compile(
    r"^ {0,3}\[(?P<label>[^\[\]\n]++)\]:[ \t]*+\n?+[ \t]*+(?:<[^<>\n]*+>|[^\s<]\S*+)"
    rf"(?P<title>[ \t]*+\n?+[ \t]*+(?<=\s){_TITLE})?[ \t]*+$",
    re.MULTILINE,
)
FOOTNOTE = re.compile(r"^ {0,3}\[(?P<label>\^[^\[\]\s]++)\]:.*+(?:\n(?: {2,}|\t).*+)*+", re.MULTILINE)
REFERENCE = re.compile(r"\[(?P<label>[^\[\]\n]++)\](?!:)")
DATA_URI = re.compile(r"\bdata:[\w.+-]++/[\w.+-]++(?:;[\w=.+-]++)*+,[^\s)\"'<>\]]++", re.IGNORECASE)
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
NOT_ASCII = re.compile(r"[\x01-\x7f]?[^\x00-\x7f]++")


def nothing(_: re.Match[str]) -> str:
    """Replace by nothing."""
    return ""


def decoded(match: re.Match[str]) -> str:
    """Decode one entity; html.unescape alone would also take the `&not` of `&notes;` for one."""
    known = match[0][1] == "#" or match[0][1:] in html.entities.html5
    return html.unescape(match[0]) if known else match[0]


def label_of(text: str) -> str:
    """Return a label as CommonMark compares it."""
    return " ".join(text.split()).casefold()


def end_of_element(text: str, at: int, name: str) -> int:
    """Return where an element ends whose opening tag ends at `at`; the end of the text when it is never closed."""
    depth = 1
    for tag in re.compile(rf"<(?P<close>/?){name}(?=[\s>/])[^<>]*>", re.IGNORECASE).finditer(text, at):
        depth += -1 if tag["close"] else 1
        if depth == 0:
            return tag.end()
    return len(text)


_DECLARATION = re.compile(r"<(?:\?|!\[CDATA\[|!(?=[A-Za-z]))")
_ENDS = {"<?": "?>", "<![CDATA[": "]]>", "<!": ">"}


def declarations(text: str) -> Iterator[tuple[int, int]]:
    """Yield where processing instructions, CDATA sections and declarations stand, which no renderer shows."""
    at = 0
    missing: set[str] = set()
    for match in _DECLARATION.finditer(text):
        closing = _ENDS[match[0]]
        if match.start() < at or closing in missing:
            continue
        end = text.find(closing, match.end())
        if end < 0:
            missing.add(closing)
            continue
        at = end + len(closing)
        yield match.start(), at


_ATTRIBUTE = re.compile(
    r"\s++(?P<name>[A-Za-z_:][\w.:-]*+)(?:\s*+=\s*+(?P<value>\"[^\"]*+\"|'[^']*+'|[^\s\"'=<>`]++))?+"
)
_ORDINARY = frozenset(
    ["href", "src", "srcset", "width", "height", "align", "valign", "border", "open", "start", "type", "colspan",
     "rowspan", "dir", "lang", "checked", "disabled", "class", "id", "name", "target", "rel", "hidden", "style",
     "color", "face", "size", "loading"]
)  # fmt: skip
SPOKEN_WORDS = 3
"""So many words in attributes that mean nothing to a renderer are a message, not markup (nor generics in code)."""


def silent(match: re.Match[str]) -> str:
    """Return an HTML tag without attributes that no renderer heeds, where they hold a message."""
    name, attributes = match["name"], match["attributes"].removesuffix("/")
    found = list(_ATTRIBUTE.finditer(attributes))
    if "".join(one[0] for one in found) != attributes.rstrip():
        return match[0]  # by CommonMark this is no tag, so it is shown as text
    odd = [one for one in found if one["name"].lower() not in _ORDINARY]
    if sum(len(one[0].split()) for one in odd) < SPOKEN_WORDS:
        return match[0]
    return f"<{name}{''.join(one[0] for one in found if one not in odd)}>"


_FULL_REFERENCE = re.compile(r"\]\[(?P<label>[^\[\]\n]++)\]")
_IMAGE_LABEL = re.compile(r"!\[(?P<label>[^\[\]\n]++)\](?![(\[:])")
_DEFINED = re.compile(r"^ {0,3}\[(?P<label>[^\[\]\n]++)\](?=:)", re.MULTILINE)
LABELS = (_FULL_REFERENCE, _IMAGE_LABEL, _DEFINED)
"""Where the label of a link or picture stands without being shown."""

_SHOWN_LABEL = re.compile(r"(?<![\]!])\[(?P<label>[^\[\]\n]++)\](?![(\[:])")
LONG_LABEL = 24


def spoken_labels(text: str) -> dict[str, str]:
    """Return label -> a number in its place, for labels that are more than a name and are shown nowhere."""
    hidden = dict.fromkeys(label_of(match["label"]) for pattern in LABELS for match in pattern.finditer(text))
    shown = {label_of(match["label"]) for match in _SHOWN_LABEL.finditer(text)}
    spoken = [name for name in hidden if len(name) > LONG_LABEL or len(name.split()) >= SPOKEN_WORDS]
    return {name: f"ref-{number}" for number, name in enumerate(spoken, start=1) if name not in shown}
