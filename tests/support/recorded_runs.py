"""Recordings of scripted policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps


def record_runs(
    path: Path,
    policy_name: str,
    resets: Iterable[Mapping[str, Any]],
    environment: Environment | None = None,
    *,
    player_name: str | None = None,
) -> list[float]:
    """Play a policy once per reset, append the runs to a recording and return their scores.

    Args:
        path: file to append to.
        policy_name: name of a policy of the environment.
        resets: reset arguments of each run.
        environment: the funnel if None.
        player_name: name of the player in the recording, if it is not the policy's.
    """
    environment = environment or get_environment("metric_tracker_rl")
    policy = environment.policies[policy_name]
    scores = []
    with path.open("a", encoding="utf-8") as stream:
        for reset in resets:
            session = environment.create_session()
            reply = session.reset(**reset)
            recorder = RunRecorder(
                stream,
                player_name or policy_name,
                reset,
                observation_from_reply(reply),
                environment,
            )
            for action, reply in iter_policy_steps(session, policy, reply):  # noqa: B020
                recorder.record_step(action, observation_from_reply(reply))
            scores.append(reply.reward or 0.0)
            recorder.record_end(scores[-1], observation_from_reply(reply))
    return scores


def record_split(
    path: Path,
    policy_name: str,
    indices: Iterable[int],
    environment: Environment | None = None,
    *,
    split: str = "validation",
    player_name: str | None = None,
) -> list[float]:
    """Record a policy on tasks of a split; see `record_runs`."""
    resets = [{"split": split, "index": index} for index in indices]
    return record_runs(path, policy_name, resets, environment, player_name=player_name)
