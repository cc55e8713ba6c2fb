"""The 72 actions: 16 that look, 54 that change something, and two that end or escalate."""

from firewatch_env.actions import capacity, inspections, looks, mitigations, rollouts, runbooks
from firewatch_env.actions.registry import ACTIONS, Action, Outcome, act

__all__ = [
    "ACTIONS", "Action", "Outcome", "act", "capacity", "inspections", "looks", "mitigations",
    "rollouts", "runbooks",
]  # fmt: skip
