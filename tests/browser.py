"""The installed Chromium, driven over its debugging pipe (Chrome DevTools Protocol): no driver, no server, no package.

A page is opened, clicked and typed into as a person does it, by real input events; what it shows is read back, and
every request, uncaught exception and refused resource is kept.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_S = 60.0
"""How long a condition may take to come true; a loaded machine is slow."""


class BrowserError(Exception):
    """The browser refused a command, or what was waited for did not come."""


class Page:
    """One open tab.

    Attributes:
        requests: addresses that were asked for, in order.
        problems: uncaught exceptions, errors of the console, refusals by the page's policy.
    """

    def __init__(self, process: subprocess.Popen[bytes], reading: int, writing: int) -> None:
        self._process = process
        self._reading = reading
        self._writing = writing
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session = ""
        self.requests: list[str] = []
        self.problems: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the window in pixels, and which colours the user prefers."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Load a page anew and wait until its script has drawn it."""
        self._send("Page.navigate", url="about:blank")
        self._send("Page.navigate", url=url)
        self.wait("document.querySelector('#page')?.dataset.ready")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of the page."""
        told = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise BrowserError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.evaluate(f"Boolean({condition})"):
                return
            if any("Error" in problem for problem in self.problems):
                break
        raise BrowserError(f"never came true: {condition}; {self.problems}")

    def text(self, selector: str) -> str:
        """Return what a person reads in the first element that fits."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        """Return what a person reads in each element that fits."""
        each = "(element) => element.innerText.trim()"
        return list(self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map({each})"))

    def click(self, selector: str, index: int = 0) -> None:
        """Press the mouse in the middle of an element."""
        element = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        self.evaluate(f"{element}.scrollIntoView({{block: 'center'}})")
        self.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )  # layout is done
        box = self.evaluate(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                            f"({element}.getBoundingClientRect())")  # fmt: skip
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press and release one key."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27}
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        self._send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=codes.get(key, 0), **text)
        self._send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes.get(key, 0))

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        for character in text:
            self.press(character)

    def screenshot(self, path: Path, height: int | None = None) -> None:
        """Write a PNG of the window, or of the page down to `height`."""
        extra: dict[str, Any] = {}
        if height is not None:
            width = self.evaluate("innerWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            extra = {"clip": clip, "captureBeyondViewport": True}
        told = self._send("Page.captureScreenshot", format="png", **extra)
        path.write_bytes(base64.b64decode(told["data"]))

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._reading, 1 << 16)
            if not part:
                raise BrowserError(f"the browser ended with {self._process.wait(10)}")
            self._buffer += part
        raw, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(raw))

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"), event.get("params", {}):
            case "Network.requestWillBeSent", {"request": {"url": url}} if url != "about:blank":
                self.requests.append(url)
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.problems.append(str(details))
            case "Log.entryAdded", {"entry": {"level": "error" | "warning", "text": text}}:
                self.problems.append(text)
            case "Runtime.consoleAPICalled", {"type": "error" | "warning", "args": args}:
                self.problems.append(str(args))
            case _:
                pass


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start the installed Chromium with a profile of its own and give its page.

    Raises:
        BrowserError: there is none, or it does not start.
    """
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        raise BrowserError("no Chromium is installed; install it: sudo apt-get install chromium")
    their_reading, writing = os.pipe()
    reading, their_writing = os.pipe()
    # the protocol's pipe is file descriptors 3 and 4 of the browser
    shell = f'exec "$0" "$@" 3<&{their_reading} 4>&{their_writing}'
    process = subprocess.Popen(
        ["bash", "-c", shell, program, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(their_reading, their_writing),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_reading)
    os.close(their_writing)
    try:
        yield Page(process, reading, writing)
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)
