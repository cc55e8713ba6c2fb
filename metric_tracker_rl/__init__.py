"""Metric Tracker RL: an environment in which a model finds anomalies in product funnels.

Public names are imported on first use, so the engine can be imported without the client, and the
client without the engine. The engine does not depend on the framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metric_tracker_rl.analysis_tools import (
        available_analysis_methods,
        available_payload_generation_methods,
        available_synthetic_generator_methods,
    )
    from metric_tracker_rl.client import MetricTrackerRlEnv
    from metric_tracker_rl.engine.configuration.tasks import (
        DEFAULT_TASK_ID,
        DEFAULT_TASK_ORDER,
        TASKS,
        available_task_specs,
        get_task_spec,
    )
    from metric_tracker_rl.models import MetricTrackerRlAction, MetricTrackerRlObservation
    from metric_tracker_rl.result_frames import result_frame
    from metric_tracker_rl.wire_models import MetricSubmissionRow, TaskSpec

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_TASK_ID",
    "DEFAULT_TASK_ORDER",
    "TASKS",
    "MetricSubmissionRow",
    "MetricTrackerRlAction",
    "MetricTrackerRlEnv",
    "MetricTrackerRlObservation",
    "TaskSpec",
    "available_analysis_methods",
    "available_payload_generation_methods",
    "available_synthetic_generator_methods",
    "available_task_specs",
    "get_task_spec",
    "result_frame",
]

_MODULE_OF_EXPORT = {
    "DEFAULT_TASK_ID": "engine.configuration.tasks",
    "DEFAULT_TASK_ORDER": "engine.configuration.tasks",
    "TASKS": "engine.configuration.tasks",
    "MetricSubmissionRow": "wire_models",
    "MetricTrackerRlAction": "models",
    "MetricTrackerRlEnv": "client",
    "MetricTrackerRlObservation": "models",
    "TaskSpec": "wire_models",
    "available_analysis_methods": "analysis_tools",
    "available_payload_generation_methods": "analysis_tools",
    "available_synthetic_generator_methods": "analysis_tools",
    "available_task_specs": "engine.configuration.tasks",
    "get_task_spec": "engine.configuration.tasks",
    "result_frame": "result_frames",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_EXPORT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF_EXPORT[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
