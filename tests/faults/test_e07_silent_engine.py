"""Row E07 of the fault matrix, further: the engine begins to pull an image and falls silent."""

import contextlib
import http.server
import json
import threading

import pytest

from ostro.sandbox import docker_connection
from ostro.sandbox.docker import obtain_image
from ostro.sandbox.docker_engine import Engine
from ostro.sandbox.protocol import SandboxError


class SilentPull(http.server.BaseHTTPRequestHandler):
    """An engine that takes a pull and then says nothing, as behind a registry that answers no more."""

    said = threading.Event()

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self._answer(200, {"ApiVersion": "1.41"})
        else:
            self._answer(404, {"message": "no such image"})

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "Pulling"}\n')
        self.wfile.flush()
        self.said.wait(60)

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        pass


def test_e07_pull_when_the_engine_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_connection, "SILENCE_S", 0.3)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SilentPull) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            engine = Engine.connect({"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
            with contextlib.closing(engine), pytest.raises(SandboxError, match=r"pulling image quiet:1: .*timed out"):
                obtain_image(engine, "quiet:1")
        finally:
            SilentPull.said.set()
            server.shutdown()
            serving.join()
