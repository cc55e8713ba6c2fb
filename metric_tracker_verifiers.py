"""The name under which verifiers finds the taskset: `vf-eval metric-tracker-verifiers`."""

from openenv_kit.trainers.verifiers import EpisodeTaskset

__all__ = ["EpisodeTaskset"]
