"""The one place that says where random bits come from."""

from metric_tracker_rl.bitstream import BitStream

__all__ = ["BitStream"]
