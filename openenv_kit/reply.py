"""The reply to a reset or a step, and its conversion to an observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCORE_COMPONENTS_KEY = "reward_components"
"""Key in the final `info`: the reward under each reward mode and the score components."""
END_REASON_KEY = "reason"
"""Key in the final `info` of an episode without a report: reason such as `max_steps`."""
EVIDENCE_SHARE_KEY = "grounded"
"""Key in the final `info`: share of correct rows whose data the player had requested."""


class ReplyStatus(StrEnum):
    """Reply statuses that all environments share. An environment may add its own."""

    ERROR = "error"
    """The reset or step was rejected. The episode continues."""
    COMPLETED = "completed"
    """The episode is over."""


@dataclass(slots=True)
class Reply:
    """The result of a reset or a step.

    Attributes:
        status: a `ReplyStatus` or a status of the environment.
        message: one or two sentences for the player.
        reward: reward of this step; the reward of the last step is the score of the episode. None
            if a reset has no reward.
        done: whether the episode is over.
        observation_fields: values of the environment's own observation fields. A field that is
            left out keeps its default.
        info: additional values that are not part of the observation. They are sent as `info` over
            HTTP and as `metadata` over a WebSocket.
    """

    status: str
    message: str
    reward: float | None = 0.0
    done: bool = False
    observation_fields: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] | None = None


@dataclass(frozen=True)
class EndInfo:
    """The values that the kit reads from the `info` of an episode's last reply.

    Attributes:
        components: reward under each reward mode and score components; empty if nothing was graded.
        evidence_share: share of correct rows whose data the player had requested; None if it is
            not known, for example because no row was correct.
        reason: reason why the episode ended without a report; empty if there was a report.
    """

    components: Mapping[str, float] = field(default_factory=dict)
    evidence_share: float | None = None
    reason: str = ""

    @classmethod
    def from_info(cls, info: Mapping[str, Any] | None) -> EndInfo:
        """Read the values from the `info` of a reply or the `metadata` of an observation."""
        info = info or {}
        return cls(
            components=info.get(SCORE_COMPONENTS_KEY) or {},
            evidence_share=info.get(EVIDENCE_SHARE_KEY),
            reason=str(info.get(END_REASON_KEY) or ""),
        )


def observation_from_reply(reply: Reply) -> dict[str, Any]:
    """Convert a reply to the observation that a policy reads, in the format sent to clients.

    `info` is included as `metadata` in the last observation only. Fields that the reply omits are
    missing from the result; `full_observation_from_reply` adds their defaults.
    """
    observation = dict(reply.observation_fields)
    if reply.done and reply.info:
        observation["metadata"] = reply.info
    return {
        **observation,
        "status": reply.status,
        "message": reply.message,
        "reward": reply.reward,
        "done": reply.done,
    }
