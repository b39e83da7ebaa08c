"""Runs inside a container: hands the connections to 127.0.0.1:PORT over to the host through stdin and stdout.

Given as text to whatever python3 (3.6 or later) the image has, so it imports nothing of ours. The host's end, with
the form of the messages, is sandbox/docker_tunnel.py; relay_inside.pl is the same in Perl.
"""

import os
import select
import socket
import struct
import sys

HEAD = struct.Struct(">II")
CHUNK = 65536


def say(number: int, data: bytes = b"") -> None:
    """Write one message to the host."""
    view = memoryview(HEAD.pack(number, len(data)) + data)
    while view:
        view = view[os.write(1, view) :]


def hear(clients: "dict[int, socket.socket]", heard: bytes) -> bytes:
    """Carry out the whole messages in `heard`; return the rest."""
    while len(heard) >= HEAD.size:
        number, length = HEAD.unpack_from(heard)
        end = HEAD.size + length
        if len(heard) < end:
            break
        client = clients.get(number)
        try:
            if client is not None and length:
                client.sendall(heard[HEAD.size : end])
            elif client is not None:
                clients.pop(number).close()
        except OSError:
            clients.pop(number).close()
            say(number)
        heard = heard[end:]
    return heard


def main(port: int) -> None:
    """Serve until stdin ends."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    say(0)
    clients: dict[int, socket.socket] = {}
    finished: set[int] = set()
    heard = b""
    last = 0
    while True:
        numbers = {client.fileno(): number for number, client in clients.items() if number not in finished}
        for descriptor in select.select([0, listener.fileno(), *numbers], [], [])[0]:
            if descriptor == 0:
                data = os.read(0, CHUNK)
                if not data:
                    return
                heard = hear(clients, heard + data)
            elif descriptor == listener.fileno():
                last += 1
                clients[last] = listener.accept()[0]
                say(last)
            elif numbers[descriptor] in clients:
                number = numbers[descriptor]
                try:
                    data = clients[number].recv(CHUNK)
                except OSError:
                    data = b""
                say(number, data)
                if not data:
                    finished.add(number)


if __name__ == "__main__":
    main(int(sys.argv[1]))
