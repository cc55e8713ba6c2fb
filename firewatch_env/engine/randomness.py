"""The one place that says where random bits come from."""

from openenv_kit.bitstream import BitStream

__all__ = ["BitStream"]
