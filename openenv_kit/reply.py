"""The reply of a reset or a step, and its conversion to an observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCORE_COMPONENTS_KEY = "reward_components"
"""Key of `info` at the end: the value of each reward mode and the components of the score."""
END_REASON_KEY = "reason"
"""Key of `info` at an end without a report: why the episode ended, such as `max_steps`."""
EVIDENCE_SHARE_KEY = "grounded"
"""Key of `info` at the end: the share of correct rows whose data the player had requested."""


class ReplyStatus(StrEnum):
    """Reply statuses that all environments share. An environment may add its own."""

    ERROR = "error"
    """The call was rejected. The episode goes on."""
    COMPLETED = "completed"
    """The episode is over."""


@dataclass(slots=True)
class Reply:
    """The result of a reset or a step.

    Attributes:
        status: a `ReplyStatus` or a status of the environment.
        message: one or two sentences for the player.
        reward: reward of this step; the score on the last one. None if a reset has none.
        done: whether the episode is over.
        observation_fields: values of the environment's own observation fields. A field that is
            left out keeps its default.
        info: values beside the observation. They are sent as `info` over HTTP and as `metadata` on
            a WebSocket.
    """

    status: str
    message: str
    reward: float | None = 0.0
    done: bool = False
    observation_fields: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] | None = None


@dataclass(frozen=True)
class EndInfo:
    """The values in `info` of an episode's last reply that the kit uses.

    Attributes:
        components: value of each reward mode and components of the score; empty if nothing was
            graded.
        evidence_share: share of correct rows whose data the player had requested; None if it is
            not known, for example because no row was correct.
        reason: why the episode ended without a report; empty if there was a report.
    """

    components: Mapping[str, float] = field(default_factory=dict)
    evidence_share: float | None = None
    reason: str = ""

    @classmethod
    def from_info(cls, info: Mapping[str, Any] | None) -> EndInfo:
        """Read the values from `info` of a reply, or from `metadata` of an observation."""
        info = info or {}
        return cls(
            components=info.get(SCORE_COMPONENTS_KEY) or {},
            evidence_share=info.get(EVIDENCE_SHARE_KEY),
            reason=str(info.get(END_REASON_KEY) or ""),
        )


def observation_from_reply(reply: Reply) -> dict[str, Any]:
    """Convert a reply to the observation that a policy reads, with the field names of the wire.

    `info` is included as `metadata` in the last observation only. A field that the reply leaves
    out is missing here; `full_observation_from_reply` adds the defaults.
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
