"""Scripted policies: players that need no model.

A policy is a generator function: it is given the observation of the reset, yields actions
and is sent the observation of each. So one policy plays in process, over a WebSocket and
step by step in the user interface, and can know nothing that an agent is not told.
"""

from __future__ import annotations

from metric_tracker_rl.policies import reference, simple_baselines, upstream_first  # noqa: F401
from metric_tracker_rl.policies.base import POLICIES, Action, ObservationJson, Policy, PolicySteps

get_policy = POLICIES.find

__all__ = ["POLICIES", "Action", "ObservationJson", "Policy", "PolicySteps", "get_policy"]
