"""What the content of a changed file says about it: for policy.py, which turns it into findings."""

from __future__ import annotations

import re

BINARY_PROBE_BYTES = 8000  # git's own, xdiff-interface.c
SMALL_IMAGE_BYTES = 256 * 1024

_PROGRAMS = (
    (b"\x7fELF", "an ELF program or library"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"\xce\xfa\xed\xfe", "a Mach-O program"),
    (b"\xfe\xed\xfa\xcf", "a Mach-O program"),
    (b"\xfe\xed\xfa\xce", "a Mach-O program"),
    (b"\xca\xfe\xba\xbe", "a Java class or Mach-O program"),
    (b"\x00asm", "a WebAssembly module"),
    (b"dex\n03", "an Android program"),
    (b"!<arch>\n", "a static library"),
)
_DOS_HEADER = b"MZ"
_PE_OFFSET_AT = 0x3C

_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"\x00\x00\x01\x00", b"wOFF", b"wOF2")

_HIDDEN = re.compile(
    # Trojan Source (CVE-2021-42574), tags, zero-width and filler characters, terminal escapes; not the joiners and
    # direction marks that ordinary texts of some languages need.
    "[\u202a-\u202e\u2066-\u2069\U000e0001-\U000e007f\U000e0100-\U000e01ef\u200b\u2060-\u2064\u206a-\u206f\u00ad"
    "\u115f\u1160\u3164\uffa0\ufff9-\ufffb\u180e\x00-\x08\x0e-\x1f\x7f]|(?<!^)\ufeff"
)
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
_INSTALL_SCRIPT = re.compile(rb'"(?:(?:pre|post)?install|(?:pre|post)?prepare|prepublish)"\s*:')
_DRIVER = re.compile(rb"\s(?:filter|diff|merge)=(\S+)")
_BUILT_IN_DRIVERS = frozenset(
    b"ada bash bibtex cpp csharp css dts elixir fortran fountain golang html java kotlin markdown matlab objc pascal"
    b" perl php python ruby rust scheme tex text binary union".split()
)
"""gitattributes(5): drivers that are part of git; any other name is looked up in a configuration."""


def program_in(data: bytes) -> str:
    """Say what kind of compiled program this is, by its first bytes; "" for none."""
    for magic, name in _PROGRAMS:
        if data.startswith(magic):
            return name
    if data.startswith(_DOS_HEADER) and len(data) > _PE_OFFSET_AT + 4:
        at = int.from_bytes(data[_PE_OFFSET_AT : _PE_OFFSET_AT + 4], "little")
        return "a Windows program or library" if data[at : at + 2] == b"PE" else ""
    return ""


def is_binary(data: bytes) -> bool:
    """Whether git would take it for binary."""
    return b"\0" in data[:BINARY_PROBE_BYTES]


def is_small_picture(data: bytes) -> bool:
    """Whether it is a picture or font of an ordinary size, which a web project adds every day."""
    return len(data) <= SMALL_IMAGE_BYTES and data.startswith(_PICTURES)


def hidden_characters(old: bytes, new: bytes) -> dict[int, int]:
    """Return line (from 1) -> number of characters that a reader does not see, for the lines that `old` has not."""
    if new.isascii() and not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", new):
        return {}
    known = set(old.split(b"\n"))
    found: dict[int, int] = {}
    for number, line in enumerate(new.split(b"\n"), start=1):
        if line in known:
            continue
        count = len(_HIDDEN.findall(_FLAG.sub("", line.decode("utf-8", "replace"))))
        if count:
            found[number] = count
    return found


def install_scripts(old: bytes, new: bytes) -> bool:
    """Whether a package.json got a script that runs at installation."""
    before = {line.strip() for line in old.splitlines()}
    return any(_INSTALL_SCRIPT.search(line) for line in new.splitlines() if line.strip() not in before)


def driver_lines(data: bytes) -> set[bytes]:
    """Return the lines of a .gitattributes that bind files to a program that a configuration names."""
    return {
        line.strip()
        for line in data.splitlines()
        if any(name not in _BUILT_IN_DRIVERS for name in _DRIVER.findall(line)) and not line.lstrip().startswith(b"#")
    }
