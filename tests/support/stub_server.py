"""A stand-in for an environment server: /health and /metadata, started in a blink.

Also a program, `stub_server.py PORT [NAME]`, for tests of processes that a run starts itself.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class StubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0, name: str = "metric_tracker_rl") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.name = name
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    server: StubServer

    def do_GET(self) -> None:
        answers = {"/health": {"status": "healthy"}, "/metadata": {"name": self.server.name}}
        found = answers.get(self.path)
        body = json.dumps(found or {"detail": "Not Found"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub_server(name: str = "metric_tracker_rl") -> Iterator[StubServer]:
    server = StubServer(name=name)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    StubServer(int(sys.argv[1]), *sys.argv[2:3]).serve_forever()
