"""A program, not a module: put pip into the virtual environment whose Python runs it, from the wheels at hand.

    /opt/env/bin/python -c "$(cat pip_inside.py)" [pip.whl]

Does what `ensurepip` does with 3.5 s less of processor time: the bundled wheels are unpacked, not installed by pip.
Sent into a sandbox by sandbox/setup_phase.py, so it works with any Python 3 and imports nothing of ours.
"""

import os
import sys
import sysconfig
import zipfile
from pathlib import Path

NO_PIP = 43
"""Exit code: this Python comes without pip's wheel (Debian has it in python3-venv) and none was given."""

FOLDERS = (Path(os.__file__).parent / "ensurepip" / "_bundled", Path("/usr/share/python-wheels"))
SCRIPT = "#!{python}\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"


def wheels() -> "list[Path]":
    """Return pip's wheel, and that of setuptools where a virtual environment is expected to have it."""
    names = ["pip"] + (["setuptools"] if sys.version_info < (3, 12) else [])  # the image's Python
    found = {name: [wheel for folder in FOLDERS for wheel in sorted(folder.glob(name + "-*.whl"))] for name in names}
    if not found["pip"]:
        return [Path(argument) for argument in sys.argv[1:]]
    return [some[0] for some in found.values() if some]


def main() -> int:
    """Unpack the wheels and write the scripts."""
    chosen = wheels()
    if not chosen:
        return NO_PIP
    for wheel in chosen:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(sysconfig.get_path("purelib"))  # a wheel of the Python distribution
    for name in ("pip", "pip3"):
        script = Path(sys.prefix, "bin", name)
        script.write_text(SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
