"""Digests of plays: the same bytes for the same task and actions, for ever.

`python -m research.firewatch.digests FILE…` writes those of golden files anew: of each entry,
which is a player and a named task, or a rung that the reference plays.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from firewatch_env.play import Play
from firewatch_env.policies.own_play import turns
from firewatch_env.policies.registry import POLICIES
from firewatch_env.tasks.book import find
from firewatch_env.tasks.task import Task


def episode_digest(task: Task, player: str) -> str:
    """SHA-256 of all that a play was answered; floats as their shortest exact text."""
    play, answers = Play(task), list[Any]()
    script = POLICIES[player].generate_actions({**play.observe(), "message": play.message})
    for action in turns(play, script, observed=True):
        answers.append([action, play.observe(), play.message])
    text = json.dumps(answers, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def recompute_digest(entry: str) -> str:
    """Digest of an entry of a golden file."""
    player, _, task_id = entry.partition(" ")
    if task_id:
        return episode_digest(find({"task_id": task_id}), player)
    return episode_digest(find({"difficulty": entry, "seed": 1}), "reference")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        made = {
            entry: recompute_digest(entry) for entry in json.loads(Path(name).read_text("utf-8"))
        }
        Path(name).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
