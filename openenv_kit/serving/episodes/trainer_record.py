"""Record of an episode for its trainer: the progress and, after the end, the result."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from inspect import getdoc
from typing import Any

from pydantic import BaseModel, Field, create_model

from openenv_kit.json_text import canonical_json
from openenv_kit.sealed_split import is_sealed_split, read_sealed_salt
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.store.interface import EndStatus
from openenv_kit.session import EpisodeStatus


class EndedEpisode(BaseModel):
    """Fields that are added to an episode's progress for its trainer.

    The last three fields are null until the episode has ended. For a sealed episode, they contain
    only what the last reply contained.
    """

    status: str = Field("idle", description="idle, running, completed or closed (left unfinished)")
    timeline: int = Field(0, description="how many times the episode was started under its id")
    score: float | None = Field(None, description="final score; 0 if nothing was graded")
    reward_breakdown: dict[str, float | int | None] | None = Field(
        None, description="parts of the final score; null if nothing was graded"
    )
    config_digest: str | None = Field(
        None,
        description="the same for the same configuration and rules of play, in hexadecimal",
    )


def build_trainer_record_model(state_model: type[Any]) -> type[Any]:
    """Return an environment's state model with the fields of `EndedEpisode`."""
    bases: Any = (EndedEpisode, state_model)
    return create_model("EpisodeRecord", __base__=bases, __doc__=getdoc(EndedEpisode))


def build_trainer_record(
    record_model: type[Any], live_episode: LiveEpisode, end_status: EndStatus, start_count: int
) -> Any:
    """Return the record of an episode for its trainer.

    Args:
        record_model: model that `build_trainer_record_model` returned.
        live_episode: the episode.
        end_status: how the stored episode ended.
        start_count: number of times that the episode was started under its id.
    """
    fields = {**live_episode.get_progress_with_episode_id(), "timeline": start_count}
    final_reply = live_episode.final_reply
    identity = live_episode.session.build_episode_identity()
    if identity and (final_reply or end_status == EndStatus.CLOSED):
        if final_reply is None:
            fields["status"] = EpisodeStatus.CLOSED
        is_sealed = is_sealed_split(live_episode.reset_arguments.get("split"))
        fields |= {
            "score": final_reply.reward if final_reply else 0.0,
            "reward_breakdown": live_episode.score_components,
            "config_digest": compute_config_digest(identity, is_sealed=is_sealed),
        }
    return record_model(**fields)


def compute_config_digest(episode_identity: Mapping[str, Any], *, is_sealed: bool) -> str:
    """Return the SHA-256 digest of an episode's configuration and rules, in hexadecimal.

    The digest of a sealed episode is keyed with the salt. Otherwise, the seed could be found by
    trying all seeds.
    """
    text = canonical_json(episode_identity).encode()
    if is_sealed:
        return hmac.new(read_sealed_salt().encode(), text, hashlib.sha256).hexdigest()
    return hashlib.sha256(text).hexdigest()
