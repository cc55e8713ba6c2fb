"""A hostile model endpoint on loopback, and a name server that lies; nothing of the product.

The path's first segment chooses what is done: `/redirect/v1/chat/completions` redirects.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "internal-secret-4711"


@cache
def bomb() -> bytes:
    """200 MB of spaces in 200 kB: pressed piece by piece, for the memory of this process counts."""
    press = zlib.compressobj(wbits=31)  # as gzip does
    return b"".join(press.compress(b" " * 1_000_000) for _ in range(200)) + press.flush()


class Hostile(ThreadingHTTPServer):
    """The endpoint; remembers the headers of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.stop = threading.Event()
        self.port = self.server_address[1]

    def url(self, deed: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{deed}"

    def deeds(self) -> list[str]:
        return [path.split("/")[1] for path, _ in self.seen]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hostile

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._do()

    def do_GET(self) -> None:
        self._do()

    def _do(self) -> None:
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        deed = self.path.split("/")[1]
        with suppress(OSError):
            getattr(self, f"_{deed}")()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self) -> None:
        self._answer(307, b"", Location=self.server.url("secret"))

    def _secret(self) -> None:
        self._answer(200, SECRET.encode(), Content_Type="text/plain")

    def _secret_json(self) -> None:
        self._answer(200, json.dumps({"password": SECRET}).encode())

    def _error(self) -> None:
        body = {"error": {"message": SECRET, "code": SECRET}}
        self._answer(int(self.path.split("/")[2]), json.dumps(body).encode())

    def _bomb(self) -> None:
        self._answer(200, bomb(), Content_Encoding="gzip", Content_Type="application/json")

    def _nested(self) -> None:
        self._answer(200, b"[" * 200_000)

    def _surrogate(self) -> None:
        call = {"name": "rows_for_date", "arguments": json.dumps({"date": "\ud800"})}
        message = {"content": "\udfff", "tool_calls": [{"id": "1", "function": call}]}
        self._answer(200, json.dumps({"choices": [{"message": message}]}).encode())

    def _odd(self) -> None:
        self._answer(200, json.dumps({"choices": 5}).encode())

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.stop.is_set():
            self.wfile.write(b" " * 65_536)

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.stop.wait(0.05):
            self.wfile.write(b" ")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hostile_server() -> Iterator[Hostile]:
    server = Hostile()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Names:
    """A name server: each lookup of a name gives the next of its addresses, the last for ever.

    Args:
        names: for each name a list of answers, each a list of addresses.
    """

    def __init__(self, **names: list[list[str]]) -> None:
        self._names = names
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        answers = self._names.get(host.removesuffix(".test"))
        if answers is None:
            raise socket.gaierror("unknown")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in answer]


def until(true: Any, seconds: float = 60.0) -> bool:
    """Wait until something is so; false if it never is."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())
