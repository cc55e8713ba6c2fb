"""Handles of an episode: the trainer's id, and a player's handle.

A trainer's `episode_id` starts, resumes and reads an episode; a `player_id` can only play it.
Neither can be derived from the other.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from openenv_kit.errors import InvalidValueError, truncated_repr
from openenv_kit.unencodable_text import is_encodable

SERVER_EPISODE_ID_PATTERN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I
)
"""Ids that this server gives out: UUIDs of the version for private use, which no client makes."""


PLAYER_ID_PREFIX = "pl-"
"""What every player's handle begins with, and no name of an episode."""

MAX_ID_LENGTH = 64
"""Longest name of an episode or of a request, in characters."""


def check_episode_id(episode_id: object) -> None:
    """Raise an InvalidValueError for a name that cannot be one.

    What looks like a player's handle is not a name: whoever reads the outcome under the handle
    would read that of somebody else's episode.
    """
    if not (
        isinstance(episode_id, str)
        and 0 < len(episode_id) <= MAX_ID_LENGTH
        and is_encodable(episode_id)
    ):
        raise InvalidValueError(
            "episode_id", episode_id, f"text of 1 to {MAX_ID_LENGTH} characters"
        )
    if episode_id.strip().lower().startswith(PLAYER_ID_PREFIX):
        allowed = (
            f"a name that does not begin with {PLAYER_ID_PREFIX}, as the handles of players do"
        )
        raise InvalidValueError("episode_id", episode_id, allowed)


def new_episode_id() -> str:
    """A name for an episode that nobody named, 122 random bits."""
    drawn = str(uuid.uuid4())
    return f"{drawn[:14]}8{drawn[15:]}"


def new_player_id() -> str:
    """A handle for the player of an episode, 128 random bits."""
    return f"{PLAYER_ID_PREFIX}{secrets.token_hex(16)}"


class EpisodeAccess(NamedTuple):
    """What a caller holds of a stored episode.

    Attributes:
        episode_id: which one.
        player_id: of a player; must still be the episode's.
        lease_id: generation under which a connection took the episode; must still be the episode's.
    """

    episode_id: str
    player_id: str = ""
    lease_id: str = ""


class EpisodeGoneError(LookupError):
    """The caller cannot play the episode, or not any longer; its subclasses say why."""


class UnknownEpisodeError(EpisodeGoneError):
    """No episode of that id is stored."""

    def __init__(self, requested_id: str, ttl_s: float, *, is_player_id: bool = False) -> None:
        shown = requested_id if len(requested_id) <= 80 else f"{requested_id[:79]}…"
        what = (
            f"No episode for the player id {truncated_repr(shown)}"
            if is_player_id
            else f"No episode {shown!r}"
        )
        super().__init__(
            f"{what}: the id is unknown, or the episode was not used for {ttl_s:g} s "
            "and is gone. Start one with POST /reset."
        )


class OutdatedEpisodeError(UnknownEpisodeError):
    """The episode was started under other versions of its environment.

    Played again here it might become another episode, so it is not.
    """

    def __init__(
        self,
        access: EpisodeAccess,
        versions_at_start: Mapping[str, str],
        current_versions: Mapping[str, str],
    ) -> None:
        given = truncated_repr(access.player_id or access.episode_id)
        names = sorted(
            name
            for name in {*versions_at_start, *current_versions}
            if versions_at_start.get(name) != current_versions.get(name)
        )
        changes = ", ".join(
            f"{name} {versions_at_start.get(name, 'none')} "
            f"(here {current_versions.get(name, 'none')})"
            for name in names
        )
        LookupError.__init__(
            self,
            f"The episode of {given} was started under other versions: {changes}. It cannot go on "
            "here. Start a new one with POST /reset, or let the server be rolled back to the "
            "release that started it.",
        )


class EpisodeClosedError(EpisodeGoneError):
    """It was closed, and nothing can be added."""

    def __init__(self, access: EpisodeAccess) -> None:
        given = truncated_repr(access.player_id or access.episode_id)
        super().__init__(f"The episode of {given} was closed: no further step can be taken.")


class UnreadableEpisodeError(EpisodeGoneError):
    """The episode is stored, but its record cannot be played again."""

    def __init__(self, access: EpisodeAccess, reason: str) -> None:
        given = truncated_repr(access.player_id or access.episode_id)
        super().__init__(
            f"The stored episode of {given} cannot be played again ({reason.rstrip('.')}). Other "
            "episodes are not affected. Start a new one with POST /reset."
        )


class EpisodeResumedElsewhereError(EpisodeGoneError):
    """Another connection resumed the episode, or it was started over."""

    def __init__(self) -> None:
        super().__init__("The episode was resumed by another connection, or started over.")


class EpisodeTooLongError(ValueError):
    """The actions of an episode take more room than it has."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The actions of an episode may have {max_bytes} bytes in all.")
