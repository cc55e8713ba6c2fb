"""The name under which verifiers finds the taskset: `vf-eval metric-tracker-verifiers`."""

from metric_tracker_rl.integrations.verifiers import MetricTrackerTaskset

__all__ = ["MetricTrackerTaskset"]
