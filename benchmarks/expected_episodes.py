"""Episodes of a load test, with the reply that each action must get.

They are played in this process first, so a reply of the server that belongs to another episode, or
to another step, differs from the expected one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from openenv_kit.environment import get_environment
from openenv_kit.episode_clients.in_process import observation_json_from_reply
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session

SPLIT = "train"
FIRST_OTHER_INDEX = 1_000
"""Index of the first funnel task that is not lean, so that no two clients play one task."""


class EpisodeKind(NamedTuple):
    """Tasks that differ only in their index.

    Attributes:
        environment: name of the environment.
        path: path below which the server serves it.
        reset_arguments: reset arguments without the index.
        first_index: index of the first client's task.
    """

    environment: str
    path: str
    reset_arguments: Mapping[str, Any]
    first_index: int


LEAN = EpisodeKind("metric_tracker_rl", "", {"split": SPLIT, "profile": "lean"}, 0)
OTHERS = (
    EpisodeKind("metric_tracker_rl", "", {"split": SPLIT}, FIRST_OTHER_INDEX),
    EpisodeKind("firewatch", "/firewatch", {"split": SPLIT}, 0),
)
"""Every second episode of a client is one of these, and the others are lean."""


class ExpectedEpisode(NamedTuple):
    """A reference policy's episode.

    Attributes:
        kind: environment and path.
        reset_arguments: arguments of the reset.
        actions: actions of the policy.
        digests: digests of the replies to the reset and to each action.
    """

    kind: EpisodeKind
    reset_arguments: Mapping[str, Any]
    actions: tuple[Mapping[str, Any], ...]
    digests: tuple[str, ...]


def compute_digest(kind: EpisodeKind, observation: Mapping[str, Any]) -> str:
    """Return the digest of an observation with its reward and `done`.

    Args:
        kind: environment of the observation.
        observation: the observation, with the fields `reward` and `done`.
    """
    return compute_reply_digest(observation, get_environment(kind.environment).tools.prose_fields)


def play_expected_episodes(client_number: int) -> list[ExpectedEpisode]:
    """Play the two tasks of one client in this process: a lean one and another one."""
    return [
        _play_expected_episode(kind, kind.first_index + client_number)
        for kind in (LEAN, OTHERS[client_number // 2 % len(OTHERS)])
    ]


def _play_expected_episode(kind: EpisodeKind, index: int) -> ExpectedEpisode:
    environment = get_environment(kind.environment)
    arguments = {**kind.reset_arguments, "index": index}
    session, reply = start_session(environment, arguments)
    digests = [compute_digest(kind, observation_json_from_reply(reply))]
    actions = []
    for step in iter_policy_steps(session, environment.policies["reference"], reply):
        actions.append(step.action)
        digests.append(compute_digest(kind, observation_json_from_reply(step.reply)))
    return ExpectedEpisode(kind, arguments, tuple(actions), tuple(digests))
