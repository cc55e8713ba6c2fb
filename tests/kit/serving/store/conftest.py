"""Stores of every kind, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv_kit.serving.store.limits import StoreLimits
from support.blocking_store import STORE_KINDS, BlockingStore, open_blocking_store
from support.manual_clock import ManualClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """Replace the clocks of the stores and of fakeredis."""
    clock = ManualClock()
    monkeypatch.setattr("time.time", clock)  # fakeredis reads this one
    monkeypatch.setattr("openenv_kit.serving.store.clock.get_seconds_since_boot", clock)
    return clock


@pytest.fixture(params=STORE_KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> Iterator[BlockingStore]:
    """Open a store that keeps episodes for 60 seconds and 3 % of them per client."""
    limits = StoreLimits(60, 100, client_percent=3)
    store = open_blocking_store(request.param, tmp_path, limits)
    yield store
    store.close()
