"""Inspect AI task `metric_tracker_rl/metric_tracker`."""

from typing import Any

from inspect_ai import Task, task

from openenv_kit.trainers.inspect_ai import episodes


@task
def metric_tracker(split: str = "validation", **arguments: Any) -> Task:
    """Find and report the anomalies of product-funnel episodes.

    Args:
        split: name of the split that provides the tasks.
        **arguments: further arguments of `openenv_kit.trainers.inspect_ai.episodes`.
    """
    return episodes("metric_tracker_rl", split, **arguments)
