"""The client under the name that `openenv push` looks for; import it from metric_tracker_rl."""

from metric_tracker_rl import MetricTrackerRlEnv

__all__ = ["MetricTrackerRlEnv"]
