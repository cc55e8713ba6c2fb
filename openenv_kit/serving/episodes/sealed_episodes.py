"""Sealed tasks on a server: each start is counted, and a signed record lists all of them.

A score on a sealed task means something only if a participant cannot start the task again until the
result is good. So the store counts the starts of each task for each participant, a task that was
left unfinished is resumed, and beyond the allowed number a reset is rejected. How the signed record
supports a leaderboard is described in `openenv_kit.trust.attestation`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError, echo
from openenv_kit.reset_arguments import get_further_arguments
from openenv_kit.sealed_split import SALT_VARIABLE, SEALED, has_salt, is_sealed_split
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeGoneError, Handle
from openenv_kit.serving.episodes.live_episode import Drawn, Play
from openenv_kit.serving.episodes.records import Started
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.interface import MEMORY
from openenv_kit.serving.store.sealed_records import SealedPlay, SealedPlaysUsedUpError, SealedStart
from openenv_kit.splits import HashedSplits

if TYPE_CHECKING:
    from openenv_kit.serving.episodes.service import Episodes
    from openenv_kit.trust.attestation import Attestation

NEEDS_PERSISTENT_STORE = (
    "Sealed tasks need a persistent episode store, in which started plays stay counted: set "
    "OPENENV_KIT_EPISODE_STORE to a file or to a redis:// address."
)


class SealedPlays:
    """The plays of an environment's sealed tasks on this server.

    Args:
        episodes: where they are played.
        settings: the server's.
    """

    def __init__(self, episodes: Episodes, settings: Settings) -> None:
        self._episodes = episodes
        self._settings = settings

    async def reset(
        self, arguments: Mapping[str, Any], source: str, drawn: Drawn | None
    ) -> Started:
        """Resume the participant's unfinished play of a sealed task, or start and count one.

        Arguments are those of `Episodes.reset`.
        """
        try:
            if has_salt():  # without one the session rejects the reset and says why
                return await self._resume_or_start(arguments, source, drawn)
            return await self._episodes.start(arguments, source, drawn)
        except ConfigurationError as problem:
            return self._reject(str(problem))
        except SealedPlaysUsedUpError as problem:
            times = "once" if problem.max_plays == 1 else f"{problem.max_plays} times"
            return self._reject(
                f"The sealed task {get_task_index(arguments)} has been started as often as this "
                f"server allows: {times} (OPENENV_KIT_SEALED_PLAYS)."
            )

    async def finish(self, play: Play) -> None:
        """Record how a play ended, if it is one of a sealed task."""
        from openenv_kit.trust.attestation import digest_actions

        if play.session.is_sealed and play.final is not None:
            digest = digest_actions(messages.loads(action) for action in play.actions)
            score = play.final.reward or 0.0
            await self._episodes.store.finish_sealed_play(
                play.player_id, score, len(play.actions), digest
            )

    async def attest(self, split: str) -> Attestation:
        """Return the record of the current participant's plays of a sealed split, unsigned.

        Raises:
            ConfigurationError: no split of that name is sealed, or it cannot be played here.
        """
        if not is_sealed_split(split):
            raise InvalidValueError("split", split, "the name of a sealed split")
        await asyncio.to_thread(get_commitment, self._episodes.environment)
        store, environment = self._episodes.store, self._episodes.environment
        participant, task_set = client_identity.PARTICIPANT.get(), get_task_set(environment, split)
        for sealed_play in await store.list_sealed_plays(participant, task_set):
            if sealed_play.score is None:
                await self._finish_if_ended(sealed_play)
        plays = await store.list_sealed_plays(participant, task_set)
        return build_attestation(environment, split, participant, plays, self._settings)

    async def _resume_or_start(
        self, arguments: Mapping[str, Any], source: str, drawn: Drawn | None
    ) -> Started:
        # The first time, it takes up to a second: other players must not wait for it.
        await asyncio.to_thread(get_commitment, self._episodes.environment)
        start = build_sealed_start(arguments, self._episodes.environment, self._settings)
        if resumed := await self._resume(arguments, start):
            return resumed
        try:
            return await self._episodes.start(arguments, source, drawn, start)
        except SealedPlaysUsedUpError:
            # Another request may have started the task since: resume its play.
            if resumed := await self._resume(arguments, start):
                return resumed
            raise

    async def _resume(self, arguments: Mapping[str, Any], start: SealedStart) -> Started | None:
        """Resume the unfinished play of a task; None where there is none that can be played on.

        Raises:
            ConfigurationError: it was started with other arguments.
        """
        plays = await self._episodes.store.list_sealed_plays(start.participant, start.task_set)
        for sealed_play in reversed(plays):
            if sealed_play.index != start.index or sealed_play.score is not None:
                continue
            handle = self._handle_of(sealed_play)
            try:
                play = await self._episodes.get_play(handle)
            except EpisodeGoneError:  # it expired, was closed or was started over
                continue
            if play.final is not None:
                await self.finish(play)
                continue
            before = get_further_arguments(play.arguments)
            if before != get_further_arguments(arguments):
                raise ConfigurationError(
                    f"The unfinished play of the sealed task {start.index} was started with "
                    f"{echo(before)}; reset it with these arguments to go on."
                )
            return await self._episodes.resume(handle.episode_id)
        return None

    async def _finish_if_ended(self, sealed_play: SealedPlay) -> None:
        """Record a play whose last action was stored just before a server stopped."""
        with suppress(EpisodeGoneError):
            await self.finish(
                await self._episodes.get_play(self._handle_of(sealed_play), closed=True)
            )

    def _handle_of(self, sealed_play: SealedPlay) -> Handle:
        """Return the handle with which a sealed play's episode is found while it is its own."""
        prefix = f"{self._episodes.environment.name}/"
        return Handle(sealed_play.episode_id.removeprefix(prefix), sealed_play.player)

    def _reject(self, problem: str) -> Started:
        """Return the reply to a reset that starts no episode."""
        play = self._episodes.play("http")
        return Started(play.data(play.session.refused(problem)), problem=problem)


def get_task_index(arguments: Mapping[str, Any]) -> object:
    """Return the position of the task in its split; 0 where the reset names none."""
    index = arguments.get("index")
    return 0 if index is None else index


def build_sealed_start(
    arguments: Mapping[str, Any], environment: Environment, settings: Settings
) -> SealedStart:
    """Return what counts the play that a reset of a sealed task starts for the current participant.

    Raises:
        ConfigurationError: the store does not outlive the server.
        InvalidValueError: the task is not among those that this server offers.
    """
    if settings.episode_store in ("", MEMORY):
        raise ConfigurationError(NEEDS_PERSISTENT_STORE)
    split, index = arguments["split"], get_task_index(arguments)
    task_count = count_sealed_tasks(environment, split, settings)
    if type(index) is not int or not 0 <= index < task_count:
        allowed = f"an integer from 0 to {task_count - 1}, the sealed tasks of this server"
        raise InvalidValueError("index", index, allowed)
    return SealedStart(
        client_identity.PARTICIPANT.get(),
        get_task_set(environment, split),
        index,
        settings.sealed_plays,
    )


def count_sealed_tasks(environment: Environment, split: str, settings: Settings) -> int:
    """Return how many tasks of a sealed split this server offers."""
    return min(settings.sealed_tasks, environment.splits.size(split))


def get_task_set(environment: Environment, split: str) -> str:
    """Return the text under which plays of a sealed split are counted together.

    It changes with the versions and with the secret, so that plays of other tasks do not count.
    """
    versions = json.dumps(dict(environment.versions), sort_keys=True)
    return f"{environment.name}/{split}/{get_commitment(environment)}/{versions}"


def get_commitment(environment: Environment) -> str:
    """Return the commitment to the environment's sealed split; empty where it has no other proof.

    Raises:
        InvalidValueError: no proper secret is set.
    """
    return _compute_commitment(environment.name, os.environ.get(SALT_VARIABLE, ""))


@lru_cache(maxsize=16)
def _compute_commitment(environment: str, _salt: str) -> str:
    """Compute a commitment once for each secret: it takes every sealed task."""
    splits = get_environment(environment).splits
    if isinstance(splits, HashedSplits) and SEALED in splits.blocks:
        return splits.commitment()
    return ""


def build_attestation(
    environment: Environment,
    split: str,
    participant: str,
    plays: Iterable[SealedPlay],
    settings: Settings,
) -> Attestation:
    """Return the record of a participant's sealed plays in an environment."""
    from openenv_kit.trust.attestation import Attestation, AttestedPlay, digest_actions

    return Attestation(
        player=participant,
        environment=environment.name,
        split=split,
        versions=dict(environment.versions),
        commitment=get_commitment(environment),
        task_count=count_sealed_tasks(environment, split, settings),
        plays_per_task=settings.sealed_plays,
        issued_at_s=int(time.time()),
        plays=[
            AttestedPlay(
                number=play.number,
                index=play.index,
                reset=get_further_arguments(messages.loads(play.start)["reset"]),
                is_finished=play.score is not None,
                score=play.score or 0.0,
                steps=play.steps,
                actions_digest=play.actions_digest or digest_actions(()),
            )
            for play in plays
        ],
    )
