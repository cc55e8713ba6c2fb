"""What the trainer reads of an episode: its progress, and after its end the outcome."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, create_model

from openenv_kit.serving.play import Play
from openenv_kit.trust.sealing import SEALED, sealed_salt

CLOSED = "closed"
DOC = """An episode as its trainer sees it.

The last three fields stay null until the end; a sealed episode shows no more than its last reply
did.
"""


def record_model(state: type[Any]) -> type[Any]:
    """An environment's state model with the outcome beside it."""

    def told(kind: Any, default: Any, description: str) -> Any:
        return kind, Field(default, description=description)

    return create_model(
        "EpisodeRecord",
        __base__=state,
        __doc__=DOC,
        status=told(str, "idle", "idle, running, completed or closed (left unfinished)"),
        timeline=told(int, 0, "how many times the episode was started under its id"),
        score=told(float | None, None, "final score; 0 where nothing was graded"),
        reward_breakdown=told(
            dict[str, float | int] | None,
            None,
            "parts of the final score; null where nothing was graded",
        ),
        config_digest=told(
            str | None,
            None,
            "the same for the same configuration and rules of play, in hexadecimal",
        ),
    )


def record_of(model: type[Any], play: Play, ended: str, timeline: int) -> Any:
    """The trainer's view of a play.

    Args:
        model: see `record_model`.
        play: where the episode stands.
        ended: `closed` where it was closed.
        timeline: how many times it was started.
    """
    fields = {**play.state().model_dump(), "timeline": timeline}
    identity = play.session.identity()
    if identity and (play.final or ended == CLOSED):
        if play.final is None:
            fields["status"] = CLOSED
        sealed = (play.arguments or {}).get("split") == SEALED
        fields |= {
            "score": play.final.reward if play.final else 0.0,
            "reward_breakdown": play.parts,
            "config_digest": config_digest(identity, sealed=sealed),
        }
    return model(**fields)


def config_digest(identity: Mapping[str, Any], *, sealed: bool) -> str:
    """SHA-256 over the configuration and the rules of play.

    Of a sealed episode it is keyed with the salt: from a plain digest a seed could be found by
    trying.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
    if sealed:
        return hmac.new(sealed_salt().encode(), text, hashlib.sha256).hexdigest()
    return hashlib.sha256(text).hexdigest()
