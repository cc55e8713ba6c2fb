"""Many visitors at once, with Gradio's own Python client: nobody sees anybody else.

`METRIC_TRACKER_VISITORS=20` runs it as the acceptance asks; a few are enough to find a mix-up.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import WebServer, page_client, web_server

from metric_tracker_rl.engine.episode import build_episode
from metric_tracker_rl.engine.tasks import resolve_config

pytestmark = pytest.mark.slow

VISITORS = int(os.environ.get("METRIC_TRACKER_VISITORS") or 4)
MEMORY_MARGIN = 1.2


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server that forgets visitors as soon as they leave."""
    log = tmp_path_factory.mktemp("forgetful") / "server.log"
    with web_server(log, METRIC_TRACKER_VISITOR_GRACE_S="0") as server:
        yield server


def memory(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def visit(url: str, number: int, all_there: threading.Barrier) -> list[str]:
    """Play the episode of one's own seed; returns everything that was not one's own."""
    reset = {"seed": number, "scenario_family": "mixed", "difficulty": "easy"}
    episode = build_episode(resolve_config(**reset)[1])
    with page_client(url) as client:

        def answer(endpoint: str, *values: Any) -> dict[str, Any]:
            return json.loads(client.predict(*values, api_name=endpoint))

        all_there.wait(timeout=120)
        opening = answer("/start", reset)
        all_there.wait(timeout=120)
        dates = answer("/ask", "list_dates", {})["analysis_result"]["result"]["dates"]
        raw = answer("/ask", "show_raw_data", {"limit": 28})["analysis_result"]["result"]["rows"]
        all_there.wait(timeout=120)
        rows = [row.as_dict() for row in episode.expected_rows]
        final = answer("/submit", rows)
        checks = {
            "opening": opening["config"]["start_date"] == episode.dates[0],
            "dates": dates == list(episode.dates),
            "data": [row["app_opens"] for row in raw] == episode.daily["app_opens"].tolist(),
            "score": final["reward"] == 1.0,
        }
    return [name for name, right in checks.items() if not right]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_visitors_at_once_keep_apart_and_are_forgotten(
    forgetful: WebServer, record_property: Callable[[str, object], None]
) -> None:
    visit(forgetful.url, 999, threading.Barrier(1))
    before = memory(forgetful.pid)
    barrier = threading.Barrier(VISITORS)
    with ThreadPoolExecutor(VISITORS) as pool:
        strange = list(
            pool.map(lambda number: visit(forgetful.url, number, barrier), range(VISITORS))
        )
    most = memory(forgetful.pid)
    assert strange == [[] for _ in range(VISITORS)]
    after = most
    for _ in range(100):
        after = memory(forgetful.pid)
        if after <= MEMORY_MARGIN * before:
            break
        time.sleep(0.1)
    figures = [round(value / 2**20) for value in (before, most, after)]
    record_property("memory_mib_before_most_after", figures)
    print(f"{VISITORS} visitors: {figures} MiB before, at most, after")
    assert after <= MEMORY_MARGIN * before
