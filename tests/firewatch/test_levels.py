"""Levels of Firewatch."""

from __future__ import annotations

from firewatch_env.tasks.book import find


def test_the_lowest_rung_on_call_has_one_fault_whose_service_alerts_by_itself() -> None:
    for seed in range(5):
        task = find({"difficulty": 0.0, "seed": seed})
        assert len(task.roots) == 1
        assert not task.unalerted
        assert not task.advice
