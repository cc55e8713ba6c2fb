"""A training loop without a model, as a program that kills itself and can be started again.

It plays on a server, writes the curriculum into a checkpoint after each step, and continues from
the last checkpoint. Each started episode is a line of `episodes.jsonl` in its folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT, TESTS

STEPS = 3
GROUPS_OF_STEP = 2
ROLLOUTS_OF_GROUP = 2
TIMEOUT_S = 120.0


class StartedEpisode(NamedTuple):
    """An episode that was started in a step: its task's seed, level and id on the server."""

    step: int
    level: str
    seed: int
    episode_id: str


def run_trainer(folder: Path, base_url: str, kill_at: str = "") -> int:
    """Run the program and return its exit status.

    Args:
        folder: its folder, for checkpoints and the list of episodes.
        base_url: URL of the server.
        kill_at: `between` to kill itself after the first step, `rollout` to do so in the middle
            of a rollout of the second one; empty to run to the end.
    """
    command = [sys.executable, "-m", "support.restartable_trainer", str(folder), base_url, kill_at]
    environ = {**os.environ, "PYTHONPATH": f"{TESTS}:{ROOT}"}
    return subprocess.run(
        command, cwd=TESTS, env=environ, check=False, timeout=TIMEOUT_S
    ).returncode


def read_started_episodes(folder: Path) -> list[StartedEpisode]:
    """Return the episodes that the program started, in order."""
    lines = (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    return [StartedEpisode(*json.loads(line)) for line in lines]


def train(folder: Path, base_url: str, kill_at: str) -> None:
    """Train until the last step, from the last checkpoint if there is one."""
    from openenv_kit.rollouts.curriculum import Curriculum
    from openenv_kit.rollouts.curriculum_file import read_curriculum_file, write_curriculum_file

    stages = [{"difficulty": f"rung_{n}", "profile": "lean"} for n in (1, 2, 3)]
    curriculum = Curriculum(stages, window=GROUPS_OF_STEP * ROLLOUTS_OF_GROUP)
    done_steps = len(list(folder.glob("checkpoint-*")))
    if done_steps:
        assert read_curriculum_file(curriculum, folder / f"checkpoint-{done_steps}")
    for step in range(done_steps + 1, STEPS + 1):
        if step == 2 and kill_at == "between":
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(GROUPS_OF_STEP):
            arguments = curriculum.take_next_reset_arguments()
            stage_index = curriculum.stage_index
            should_die = step == 2 and kill_at == "rollout"
            rewards = [
                _play(folder, base_url, step, arguments, is_killed=should_die)
                for _ in range(ROLLOUTS_OF_GROUP)
            ]
            curriculum.record_group_rewards(rewards, stage_index)
        write_curriculum_file(curriculum, folder / f"checkpoint-{step}")


def _play(
    folder: Path, base_url: str, step: int, arguments: dict[str, object], *, is_killed: bool
) -> float:
    from openenv_kit.trainers.scripted_calls import get_next_scripted_call
    from openenv_kit.trainers.tool_episode import ToolEpisode

    episode = ToolEpisode(base_url)
    opening, results = episode.reset(arguments), []
    episode_id = episode._client._episode_id  # type: ignore[attr-defined]
    started = [step, arguments["difficulty"], arguments["seed"], episode_id]
    with (folder / "episodes.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(started) + "\n")
    while call := get_next_scripted_call("reference", results, first_user_message=opening):
        results.append(episode.call_tool(call.name, call.arguments))
        if is_killed:
            os.kill(os.getpid(), signal.SIGKILL)
    episode.close()
    return episode.reward


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
