"""Scripted policies of the funnel.

A policy is a generator function that receives the reset observation, yields actions, and is sent
the observation that follows each action. The same policy can therefore play in process, over a
WebSocket, and step by step in the debugger. A policy reads only observations.
"""

from __future__ import annotations

from metric_tracker_rl.policies import reference, simple_baselines, upstream_first  # noqa: F401
from metric_tracker_rl.policies.base import POLICIES, Action, ObservationJson, Policy, PolicySteps

get_policy = POLICIES.find

__all__ = ["POLICIES", "Action", "ObservationJson", "Policy", "PolicySteps", "get_policy"]
