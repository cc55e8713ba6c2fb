"""Pauses between attempts to reach a server, and the time after which no attempt follows."""

from __future__ import annotations

import pytest

from openenv_kit.episode_clients import retry
from openenv_kit.episode_clients.retry import RetryTimer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The current time, as the only entry of a list."""
    now_s = [100.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now_s[0])
    return now_s


def test_retry_timer_increase_pause_doubles_up_to_the_maximum(clock: list[float]) -> None:
    timer = RetryTimer(timeout_s=60.0)
    pauses = [timer.pause_s]
    for _ in range(6):
        timer.increase_next_pause()
        pauses.append(timer.pause_s)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_retry_timer_retry_at_once_starts_without_a_pause(clock: list[float]) -> None:
    timer = RetryTimer(timeout_s=60.0, retry_at_once=True)
    assert timer.pause_s == 0.0
    timer.increase_next_pause()
    assert timer.pause_s == retry.FIRST_RETRY_PAUSE_S


def test_retry_timer_pause_beyond_the_deadline_is_expired(clock: list[float]) -> None:
    timer = RetryTimer(timeout_s=1.0)
    assert not timer.is_expired
    clock[0] += 0.9
    assert timer.remaining_s == pytest.approx(0.1)
    assert timer.is_expired


@pytest.mark.parametrize(("retry_after_s", "pause_s"), [(0.0, 0.5), (3.0, 3.0), (900.0, 5.0)])
def test_compute_capacity_pause_long_time_is_limited(retry_after_s: float, pause_s: float) -> None:
    assert retry.compute_capacity_pause_s(retry_after_s) == pause_s
