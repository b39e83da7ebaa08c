"""A way to a container engine over TCP that can be cut, closed for a while, or slow."""

import contextlib
import select
import socket
import threading
import time

Pair = tuple[socket.socket, socket.socket]


class EngineProxy:
    """Carries TCP connections on 127.0.0.1 to the engine's unix socket.

    Attributes:
        address: for DOCKER_HOST.
        delay_s: how long each piece waits on its way, both ways.
        refusing: new connections are closed at once, as by an engine that restarts.
    """

    def __init__(self, target: str) -> None:
        self.delay_s = 0.0
        self.refusing = False
        self._target = target
        self._pairs: list[Pair] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection that is open."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and break what is open."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.refusing:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._pairs.append((near, far))
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with contextlib.suppress(OSError, ValueError), near, far:
            while other:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(65536)
                    time.sleep(self.delay_s)  # the fault itself: a slow engine
                    if data:
                        (far if ready is near else near).sendall(data)
                    else:
                        (far if ready is near else near).shutdown(socket.SHUT_WR)
                        del other[ready]
