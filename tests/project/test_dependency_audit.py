"""No installed dependency has a known vulnerability; needs the network."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.paths import ROOT

pytestmark = pytest.mark.slow

AUDIT = ["uv", "audit", "--no-dev", "--preview-features", "audit-command"]
UNREACHABLE = "error sending request"


def audit(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AUDIT, *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.network
def test_no_dependency_has_a_known_vulnerability() -> None:
    found = audit()
    if found.returncode and UNREACHABLE in found.stderr:
        reason = found.stderr.strip().splitlines()[-1].strip()
        pytest.skip(f"nothing was audited, the advisory service cannot be reached: {reason}")
    assert found.returncode == 0, found.stdout + found.stderr


class Advisories(BaseHTTPRequestHandler):
    """An advisory service that knows one vulnerability, in the first package it is asked about."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        known = {"id": "GHSA-test", "modified": "2026-01-01T00:00:00Z"}
        self._answer({"results": [{"vulns": [known]}, *({} for _ in asked[1:])]})

    def do_GET(self) -> None:
        self._answer({"id": "GHSA-test", "modified": "2026-01-01T00:00:00Z", "affected": []})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def advisories() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.network
def test_the_audit_finds_a_vulnerability_that_is_known(advisories: str) -> None:
    found = audit("--service-url", advisories)
    assert found.returncode == 1, found.stderr
    assert "GHSA-test" in found.stdout


@pytest.mark.network
def test_audit_without_a_connection_differs_from_a_clean_audit() -> None:
    found = audit("--service-url", "http://127.0.0.1:9/")
    assert found.returncode
    assert UNREACHABLE in found.stderr
