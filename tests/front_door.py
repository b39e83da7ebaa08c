"""The console script called in the process of the test: a process each would spend a second on imports."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from unittest.mock import patch

from ostro.cli.main import main


def ostro(*arguments: str, typed: bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
    """Call `ostro` through the very `main` of the console script and return its exit code and what it printed.

    Args:
        arguments: of the command line.
        typed: what stands on its standard input.
        variables: of the environment, added for the call.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, variables))
        stack.enter_context(patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), "utf-8")))
        stack.enter_context(redirect_stdout(streams[0]))
        stack.enter_context(redirect_stderr(streams[1]))
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert isinstance(code, int)
    out, err = (stream.buffer.getvalue().decode() for stream in streams if isinstance(stream.buffer, io.BytesIO))
    return subprocess.CompletedProcess(["ostro", *arguments], code, out, err)
