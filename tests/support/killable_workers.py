"""Worker processes that a test kills with SIGKILL and has again within a moment.

Run as a program, this is the process that they are forked from: it has imported everything and
made the app, so a worker starts in about a tenth of a second. The listening sockets are this
process's. A connection made while a worker is away waits for the next one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from benchmarks.load import CLOSE, TEXT, frame_bounds, text_frame
from support.forked_python import warm_python
from support.paths import TESTS

HOST = "127.0.0.1"
PATIENCE_S = 30.0


def nursery(store: str, name: str) -> None:
    """Fork a worker for each number read from standard input, in the place of an earlier one.

    Prints the workers' ports in a line, then a line for each worker.

    Args:
        store: file of the store.
        name: of the environment.
    """
    import uvicorn

    from openenv_kit.serving.app import build_app
    from openenv_kit.serving.settings import Settings
    from support.playable_environments import GAMES

    game = GAMES[name]
    app = build_app(Settings(episode_store=store), game.environment)
    for seed in range(3):  # what these need is kept in memory from now on
        session = game.environment.create_session()
        session.reset(**game.short, seed=seed)
        session.step(game.final.action)
    sockets = [socket.create_server((HOST, 0), backlog=128) for _ in range(2)]
    running: dict[int, int] = {}
    print(*(each.getsockname()[1] for each in sockets), flush=True)
    for line in sys.stdin:
        number = int(line)
        _end(running.pop(number, None))
        running[number] = worker = os.fork()
        if worker == 0:
            os.close(0)
            config = uvicorn.Config(
                app,
                ws="websockets-sansio",
                log_config=None,
                access_log=False,
                timeout_keep_alive=3600,  # the test may think for long
            )
            uvicorn.Server(config).run(sockets=[sockets[number]])
            os._exit(0)
        print(worker, flush=True)
    for worker in running.values():  # the test is over
        _end(worker)


def _end(worker: int | None) -> None:
    """Kill a process with SIGKILL and wait for its end."""
    if worker is not None:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


class Workers:
    """Two workers that share a store.

    Args:
        store: file of the store.
        name: of the environment that they serve.
    """

    def __init__(self, store: Path, name: str) -> None:
        read, write = os.pipe()
        answers, answer = os.pipe()
        program = ("-m", "support.killable_workers", str(store), name)
        self._nursery = warm_python(*program, cwd=TESTS, stdin=read, stdout=answer, stderr=2)
        os.close(read)
        os.close(answer)
        self._asking, self._measure_first_answer_kb = os.fdopen(write, "w"), os.fdopen(answers)
        self.ports = [int(port) for port in self._measure_first_answer_kb.readline().split()]
        for number in range(2):
            self._start(number)
        self._http: list[http.client.HTTPConnection | None] = [None, None]

    def _start(self, number: int) -> None:
        print(number, file=self._asking, flush=True)
        assert self._measure_first_answer_kb.readline()

    def kill(self, number: int) -> None:
        """Kill a worker with SIGKILL and start another in its place."""
        self.hang_up(number)
        self._start(number)

    def hang_up(self, number: int) -> None:
        """Drop the HTTP connection to a worker."""
        connection, self._http[number] = self._http[number], None
        if connection is not None:
            connection.close()

    def send(self, number: int, method: str, path: str, body: Any = None, **headers: str) -> None:
        """Send an HTTP request; `receive` reads the response."""
        connection = self._http[number]
        if connection is None:
            connection = http.client.HTTPConnection(HOST, self.ports[number], timeout=PATIENCE_S)
            self._http[number] = connection
        text = None if body is None else json.dumps(body)
        given = {"content-type": "application/json"} if body is not None else {}
        connection.request(method, path, text, {**given, **headers})

    def receive(self, number: int) -> tuple[int, Any]:
        """Return status and body of the response."""
        connection = self._http[number]
        assert connection is not None
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def ask(
        self, number: int, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Send an HTTP request and return the response."""
        self.send(number, method, path, body, **headers)
        return self.receive(number)

    def stop(self) -> None:
        """End all processes."""
        for number in range(2):
            self.hang_up(number)
        self._asking.close()
        self._nursery.wait(timeout=PATIENCE_S)
        self._measure_first_answer_kb.close()


class PlainSocket:
    """A WebSocket client of one thread: one message, one answer.

    Args:
        port: of the worker.
        path: what to open.
    """

    def __init__(self, port: int, path: str = "/ws") -> None:
        self._socket = socket.create_connection((HOST, port), timeout=PATIENCE_S)
        self._buffer = bytearray()
        hello = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self._socket.sendall(hello.encode())
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        self._buffer = bytearray(rest)

    def ask(self, message: Any) -> dict[str, Any]:
        """Send a message and return the reply."""
        self._socket.sendall(text_frame(json.dumps(message).encode()))
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """Return the next message; an empty one if the server closed."""
        while True:
            start, stop = frame_bounds(self._buffer, 0, len(self._buffer))
            while len(self._buffer) < stop:
                if not self._read():
                    return {}
                start, stop = frame_bounds(self._buffer, 0, len(self._buffer))
            opcode, payload = self._buffer[0] & 0x0F, bytes(self._buffer[start:stop])
            del self._buffer[:stop]
            if opcode == CLOSE:
                return {}
            if opcode == TEXT:
                return dict(json.loads(payload))

    def leave(self) -> None:
        """Send `close` and wait until the server has handled it."""
        self._socket.sendall(text_frame(b'{"type":"close"}'))
        while self.hear():
            pass
        self.drop()

    def drop(self) -> None:
        """Drop the connection without a closing message."""
        self._socket.close()

    def _read(self) -> bool:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        nursery(*sys.argv[1:])
