"""The official conformance suite of MCP."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.raw_connections import Server

pytestmark = pytest.mark.slow


SCENARIOS = (
    "server-initialize",
    "ping",
    "tools-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of the MCP conformance suite and the Node that it needs."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("conformance")
    packages = ["node@22", "@modelcontextprotocol/conformance@0.1.16"]
    install = [npm, "install", "--no-audit", "--no-fund", "--silent", *packages]
    subprocess.run(install, cwd=folder, check=True, timeout=300)
    return folder / "node_modules" / ".bin"


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_official_mcp_conformance_suite_passes(
    raw_server: Server, suite: Path, scenario: str
) -> None:
    url = f"http://localhost:{raw_server.port}/mcp"
    command = [str(suite / "node"), str(suite / "conformance"), "server", "--url", url]
    done = subprocess.run(
        [*command, "--scenario", scenario], capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    (passed, total, failed) = re.findall(r"Passed: (\d+)/(\d+), (\d+) failed", said)[0]
    assert (passed, failed) == (total, "0"), said
    assert int(total) > 0
