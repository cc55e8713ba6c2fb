"""What the trainer reads of an episode: its progress, and after its end the outcome."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from metric_tracker_rl.engine.splits import SEALED
from metric_tracker_rl.models import MetricTrackerRlState, RewardBreakdown
from openenv_kit.serving.play import BREAKDOWN, Play
from openenv_kit.trust.sealing import sealed_salt

CLOSED = "closed"


class EpisodeRecord(MetricTrackerRlState):
    """An episode as its trainer sees it.

    The last three fields stay null until the end; a sealed episode shows no more than its last
    reply did.
    """

    status: str = Field("idle", description="idle, running, completed or closed (left unfinished)")
    timeline: int = Field(0, description="how many times the episode was started under its id")
    score: float | None = Field(None, description="final score; 0 where nothing was graded")
    reward_breakdown: RewardBreakdown | None = Field(
        None, description="parts of the final score; null where nothing was graded"
    )
    config_digest: str | None = Field(
        None, description="the same for the same configuration and rules of play, in hexadecimal"
    )


def record_of(play: Play, ended: str, timeline: int) -> EpisodeRecord:
    """The trainer's view of a play.

    Args:
        play: where the episode stands.
        ended: `closed` where it was closed.
        timeline: how many times it was started.
    """
    record = EpisodeRecord(**play.environment.state.model_dump(), timeline=timeline)
    identity = play.environment.identity()
    if not (play.over or ended == CLOSED) or not identity:
        return record
    if not play.over:
        record.status = CLOSED
    record.score = 0.0 if play.final is None else play.final.reward
    record.reward_breakdown = None if play.final is None else play.final.content.get(BREAKDOWN)
    sealed = (play.arguments or {}).get("split") == SEALED
    record.config_digest = config_digest(identity, sealed=sealed)
    return record


def config_digest(identity: Mapping[str, Any], *, sealed: bool) -> str:
    """SHA-256 over the configuration and the rules of play.

    Of a sealed episode it is keyed with the salt: from a plain digest a seed could be found by
    trying.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
    if sealed:
        return hmac.new(sealed_salt().encode(), text, hashlib.sha256).hexdigest()
    return hashlib.sha256(text).hexdigest()
