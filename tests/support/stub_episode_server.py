"""An HTTP server that answers episode requests from a list, for tests of clients."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OPENING = {
    "status": 200,
    "body": {"observation": {"status": "ready"}, "reward": None, "episode_id": "e-1"},
}


STEPPED = {
    "status": 200,
    "body": {"observation": {"status": "analyzed"}, "reward": 0.25, "done": False},
}


HANG_UP = {}
"""Response of a server that closes the connection during a request."""


class StubServer:
    """Answers requests with the given responses in order, and records the requests."""

    def __init__(self, *answers):
        self.asked, self.answers = [], list(answers)
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["content-length"])
                body = json.loads(self.rfile.read(length))
                stub.asked.append((self.path, body, self.headers["authorization"]))
                answer = stub.answers.pop(0)
                self.close_connection = True  # without a word of it, as an idle server does
                if answer:
                    data = json.dumps(answer["body"]).encode()
                    self.send_response(answer["status"])
                    self.send_header("content-length", str(len(data)))
                    for name, value in answer.get("headers", {}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


FRAME = {
    "start_date": "",
    "end_date": "",
    "days": 28,
    "max_steps": 64,
    "max_submissions": 1,
    "thresholds": {},
}
