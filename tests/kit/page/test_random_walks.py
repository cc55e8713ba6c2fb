"""Random clicks and lost connections in Chromium cause no error and lose no step.

Ten walks run with the slow tests, and two in which connections are cut. METRIC_TRACKER_WALKS sets
another number: `METRIC_TRACKER_WALKS=200 pytest tests/kit/page/test_random_walks.py` runs 200 walks
and 20 with cut connections.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext

from support.browser import WebServer, web_server
from support.random_walk import WEIGHT_BY_KIND, RandomVisitor
from support.tcp_relay import Relay, relay

pytestmark = [pytest.mark.slow, pytest.mark.browser]

WALKS = int(os.environ.get("METRIC_TRACKER_WALKS") or 10)
CUT_WALKS = max(2, WALKS // 10)
MOVES = 15
OBSERVED_SERVER = str(Path(__file__).parents[2] / "support" / "observed_server.py")


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Start a server that reports the number of steps of its episodes."""
    log = tmp_path_factory.mktemp("observed") / "server.log"
    with web_server(log, OBSERVED_SERVER, "--host", "127.0.0.1", "--port") as server:
        yield server


@pytest.fixture(scope="module")
def cuttable(observed: WebServer) -> Iterator[Relay]:
    with relay(int(observed.url.rpartition(":")[2])) as started:
        yield started


def draw_kind(rng: random.Random) -> str:
    return rng.choices(list(WEIGHT_BY_KIND), list(WEIGHT_BY_KIND.values()))[0]


@pytest.mark.parametrize("seed", range(WALKS))
def test_random_clicks_cause_no_error_and_lose_no_step(
    browser: BrowserContext, observed: WebServer, seed: int
) -> None:
    rng = random.Random(seed)
    tabs = [RandomVisitor(browser.new_page(), observed.url)]
    here, moves = tabs[0], []
    for _ in range(MOVES):
        kind = draw_kind(rng)
        if kind == "other tab":  # it has episodes of its own
            if len(tabs) == 1:
                tabs.append(RandomVisitor(browser.new_page(), observed.url))
            here = tabs[1 - tabs.index(here)]
            here.page.bring_to_front()
        path = here.path
        here.saved_by_path[path] = here.read_state()["saved"]
        done = kind if kind == "other tab" else here.move(rng, kind)
        moves.append(f"{path} {done}"[:90])
        assert here.find_problem(observed.url, done) == "", "\n".join(moves)
    for tab in tabs:
        tab.stop()
        tab.page.close()


@pytest.mark.parametrize("seed", range(CUT_WALKS))
def test_cut_connections_lose_no_step(
    browser: BrowserContext, observed: WebServer, cuttable: Relay, seed: int
) -> None:
    rng = random.Random(f"cut {seed}")
    visitor, moves = RandomVisitor(browser.new_page(), cuttable.url), []
    for number in range(MOVES):
        path = visitor.path
        visitor.saved_by_path[path] = visitor.read_state()["saved"]
        cut = number % 3
        if cut == 1:
            done = visitor.cut_during_random_click(rng, cuttable)
        else:
            if cut == 2:  # the next step finds its WebSocket ended
                httpx.post(f"{observed.url}/observed/cut").raise_for_status()
            kind = draw_kind(rng)
            done = visitor.move(rng, "guide" if kind == "other tab" else kind)
        moves.append(f"{path} {done}"[:90])
        assert visitor.find_problem(observed.url, done) == "", "\n".join(moves)
    visitor.stop()
    visitor.page.close()
