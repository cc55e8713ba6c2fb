"""Replies: what a reset or a step returns, and how it reads as an observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCORE_COMPONENTS_KEY = "reward_components"
"""Key of `info` at the end: what each reward would have paid, and the shares of the score."""
END_REASON_KEY = "reason"
"""Key of `info` at an end without a report: why the episode ended, such as `max_steps`."""
EVIDENCE_SHARE_KEY = "grounded"
"""Key of `info` at the end: the share of correct rows whose data the player had requested."""


class ReplyStatus(StrEnum):
    """The statuses that mean the same in every environment. An environment may add its own."""

    ERROR = "error"
    """The call was rejected. The episode goes on."""
    COMPLETED = "completed"
    """The episode is over."""


@dataclass(slots=True)
class Reply:
    """What a reset or a step returns.

    Attributes:
        status: a `ReplyStatus` or a status of the environment.
        message: one or two sentences for the player.
        reward: reward of this step; the score on the last one. None if a reset has none.
        done: whether the episode is over.
        observation_fields: values of the environment's own observation fields. A field that is
            left out keeps its default.
        info: values beside the observation: `info` over HTTP, `metadata` on a WebSocket.
    """

    status: str
    message: str
    reward: float | None = 0.0
    done: bool = False
    observation_fields: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] | None = None


@dataclass(frozen=True)
class EndInfo:
    """The values beside the last observation of an episode that the kit understands.

    Attributes:
        components: what each reward would have paid, and the shares of the score; empty if nothing
            was graded.
        evidence_share: share of correct rows whose data the player had requested; None if it is
            not known, for example because no row was correct.
        reason: why the episode ended without a report; empty if there was a report.
    """

    components: Mapping[str, float] = field(default_factory=dict)
    evidence_share: float | None = None
    reason: str = ""

    @classmethod
    def from_info(cls, info: Mapping[str, Any] | None) -> EndInfo:
        """Return the values in `info` of a reply, or in `metadata` of an observation."""
        info = info or {}
        return cls(
            components=info.get(SCORE_COMPONENTS_KEY) or {},
            evidence_share=info.get(EVIDENCE_SHARE_KEY),
            reason=str(info.get(END_REASON_KEY) or ""),
        )


def observation_from_reply(reply: Reply) -> dict[str, Any]:
    """Return a reply as the observation that a policy reads, with the field names of the wire.

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
