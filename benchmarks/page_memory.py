"""`python -m benchmarks.page_memory`: memory that visitors of the debugger add to the server.

Each visitor loads the page, plays an episode with the page's own requests and stays. The resident
memory of the server is read before the first visitor and after the last one.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import httpx
import typer

from benchmarks.server_process import run_server
from openenv_kit.cli.common import exit_with_result

MAX_ADDED_MB = 150.0
"""Largest allowed memory of 256 visitors, in megabytes."""
CALLS: tuple[tuple[str, str], ...] = (
    ("next_episode", ""),
    ("ask", json.dumps(["task_overview", {}])),
    ("ask", json.dumps(["list_suspicious_dates", {"limit": 5}])),
    ("submit", ""),
    ("yes", ""),
)
"""Events of a visit and their values: an episode with its opening calls, two calls and a report."""


class PageClient:
    """Sends the page's events as its script does.

    Args:
        url: URL of the page, which ends with a slash.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        self._handlers: dict[str, dict[str, Any]] = {}
        for handler in self._http.get("config").json()["dependencies"]:
            for _, event in handler["targets"]:
                self._handlers.setdefault(event, handler)

    def trigger(self, session: str, event: str, value: object) -> str:
        """Send an event and return the stream of its reply."""
        handler = self._handlers[event]
        body = {
            "data": [value if event == "load" else None] * len(handler["inputs"]),
            "event_data": None if event == "load" else {"value": value},
            "fn_index": handler["id"],
            "session_hash": session,
        }
        self._http.post("gradio_api/queue/join", json=body).raise_for_status()
        with self._http.stream(
            "GET", "gradio_api/queue/data", params={"session_hash": session}
        ) as response:
            return "".join(response.iter_text())


def play_visit(client: PageClient, session: str) -> None:
    """Load the page and play an episode to its end.

    Raises:
        RuntimeError: the last reply shows no finished episode.
    """
    client.trigger(session, "load", json.dumps({"query": {}, "kept": ""}))
    reply = ""
    for event, value in CALLS:
        reply = client.trigger(session, event, value)
    if "causes found" not in reply:
        raise RuntimeError(f"The visit {session} ended without a score: {reply[-300:]}")


def measure_page_memory(
    visitors: Annotated[int, typer.Option(min=1, help="Number of visitors.")] = 256,
    warm_up: Annotated[int, typer.Option(min=0, help="Visitors before the first reading.")] = 1,
) -> None:
    """Print the memory that visitors with a played episode add to the server."""
    environ = {"ENABLE_WEB_INTERFACE": "true", "OPENENV_KIT_LOG_LEVEL": "error"}
    with run_server(environ=environ) as server:
        client = PageClient(f"{server.url}/web/")
        for number in range(warm_up):
            play_visit(client, f"warmup{number}")
        before = server.memory_bytes() / 1e6
        for number in range(visitors):
            play_visit(client, f"visitor{number}")
        added = server.memory_bytes() / 1e6 - before
    print(
        f"{visitors} visitors add {added:.1f} MB to {before:.1f} MB: "
        f"{1000 * added / visitors:.0f} kB each."
    )
    exit_with_result(has_failed=added > MAX_ADDED_MB * max(1.0, visitors / 256))


if __name__ == "__main__":
    typer.run(measure_page_memory)
