"""Digests of plays: the same bytes for the same task and actions, for ever."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from firewatch_env.policies.drive import Policy, drive
from firewatch_env.policies.par import par
from firewatch_env.policies.seen import Action
from firewatch_env.session import Reply, Session
from firewatch_env.tasks.task import Task


def transcript(task: Task, policy: Policy) -> list[dict[str, Any]]:
    """Everything that a play was answered, in order."""
    told: list[dict[str, Any]] = []

    def watch(action: Action, reply: Reply) -> None:
        told.append(
            {
                "action": action,
                "observation": reply.observation,
                "reward": reply.reward,
                "done": reply.done,
                "info": reply.info,
            }
        )

    drive(Session(lambda _: task, par), policy, watch)
    return told


def digest(task: Task, policy: Policy) -> str:
    """SHA-256 of a play's transcript; floats as their shortest exact text."""
    text = json.dumps(transcript(task, policy), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
