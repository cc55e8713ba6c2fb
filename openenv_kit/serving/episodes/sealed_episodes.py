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
from openenv_kit.errors import ConfigurationError, InvalidValueError, truncated_repr
from openenv_kit.reset_arguments import get_extra_reset_arguments
from openenv_kit.sealed_split import SALT_VARIABLE, SEALED_SPLIT, has_sealed_salt, is_sealed_split
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeGoneError
from openenv_kit.serving.episodes.live_episode import AssignedTask, LiveEpisode
from openenv_kit.serving.episodes.records import StartedEpisode
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.interface import MEMORY_STORE
from openenv_kit.serving.store.sealed_records import (
    SealedEpisode,
    SealedStartRequest,
    SealedStartsUsedUpError,
)
from openenv_kit.splits import HashedSplits

if TYPE_CHECKING:
    from openenv_kit.serving.episodes.service import EpisodeService
    from openenv_kit.trust.attestation import Attestation

PERSISTENT_STORE_REQUIRED = (
    "Sealed tasks need a persistent episode store, in which started plays stay counted: set "
    "OPENENV_KIT_EPISODE_STORE to a file or to a redis:// address."
)


class SealedEpisodes:
    """The plays of an environment's sealed tasks on this server.

    Args:
        episodes: where they are played.
        settings: the server's.
    """

    def __init__(self, episodes: EpisodeService, settings: Settings) -> None:
        self._episodes = episodes
        self._settings = settings

    async def reset(
        self, reset_arguments: Mapping[str, Any], transport: str, assigned_task: AssignedTask | None
    ) -> StartedEpisode:
        """Resume the participant's unfinished play of a sealed task, or start and count one.

        Arguments are those of `EpisodeService.reset`.
        """
        try:
            if has_sealed_salt():  # without one the session rejects the reset and says why
                return await self._resume_or_start(reset_arguments, transport, assigned_task)
            return await self._episodes.start_stored_episode(
                reset_arguments, transport, assigned_task
            )
        except ConfigurationError as problem:
            return self._reject_reset(str(problem))
        except SealedStartsUsedUpError as problem:
            times = "once" if problem.max_starts == 1 else f"{problem.max_starts} times"
            return self._reject_reset(
                f"The sealed task {get_task_index(reset_arguments)} has been started as often as "
                f"this server allows: {times} (OPENENV_KIT_SEALED_PLAYS)."
            )

    async def record_result(self, live_episode: LiveEpisode) -> None:
        """Record how a play ended, if it is one of a sealed task."""
        from openenv_kit.trust.attestation import digest_actions

        if live_episode.session.is_sealed and live_episode.final_reply is not None:
            digest = digest_actions(messages.loads(action) for action in live_episode.actions)
            score = live_episode.final_reply.reward or 0.0
            await self._episodes.store.record_sealed_result(
                live_episode.player_id, score, len(live_episode.actions), digest
            )

    async def build_current_attestation(self, split: str) -> Attestation:
        """Return the record of the current participant's plays of a sealed split, unsigned.

        Raises:
            ConfigurationError: no split of that name is sealed, or it cannot be played here.
        """
        if not is_sealed_split(split):
            raise InvalidValueError("split", split, "the name of a sealed split")
        await asyncio.to_thread(get_commitment, self._episodes.environment)
        store, environment = self._episodes.store, self._episodes.environment
        participant, task_set = (
            client_identity.CURRENT_PARTICIPANT.get(),
            get_task_set_key(environment, split),
        )
        for sealed_play in await store.list_sealed_episodes(participant, task_set):
            if sealed_play.score is None:
                await self._record_result_if_ended(sealed_play)
        plays = await store.list_sealed_episodes(participant, task_set)
        return build_attestation(environment, split, participant, plays, self._settings)

    async def _resume_or_start(
        self, reset_arguments: Mapping[str, Any], transport: str, assigned_task: AssignedTask | None
    ) -> StartedEpisode:
        # The first time, it takes up to a second: other players must not wait for it.
        await asyncio.to_thread(get_commitment, self._episodes.environment)
        start = build_sealed_start_request(
            reset_arguments, self._episodes.environment, self._settings
        )
        if resumed := await self._resume_unfinished(reset_arguments, start):
            return resumed
        try:
            return await self._episodes.start_stored_episode(
                reset_arguments, transport, assigned_task, start
            )
        except SealedStartsUsedUpError:
            # Another request may have started the task since: resume its play.
            if resumed := await self._resume_unfinished(reset_arguments, start):
                return resumed
            raise

    async def _resume_unfinished(
        self, reset_arguments: Mapping[str, Any], start_request: SealedStartRequest
    ) -> StartedEpisode | None:
        """Resume the unfinished play of a task; None where there is none that can be played on.

        Raises:
            ConfigurationError: it was started with other arguments.
        """
        plays = await self._episodes.store.list_sealed_episodes(
            start_request.participant, start_request.task_set_key
        )
        for sealed_play in reversed(plays):
            if sealed_play.index != start_request.index or sealed_play.score is not None:
                continue
            handle = self._access_to(sealed_play)
            try:
                play = await self._episodes.get_live_episode(handle)
            except EpisodeGoneError:  # it expired, was closed or was started over
                continue
            if play.final_reply is not None:
                await self.record_result(play)
                continue
            before = get_extra_reset_arguments(play.reset_arguments)
            if before != get_extra_reset_arguments(reset_arguments):
                raise ConfigurationError(
                    f"The unfinished play of the sealed task {start_request.index} was started "
                    f"with {truncated_repr(before)}; reset it with these arguments to go on."
                )
            return await self._episodes.resume_episode(handle.episode_id)
        return None

    async def _record_result_if_ended(self, sealed_episode: SealedEpisode) -> None:
        """Record a play whose last action was stored just before a server stopped."""
        with suppress(EpisodeGoneError):
            await self.record_result(
                await self._episodes.get_live_episode(
                    self._access_to(sealed_episode), allow_closed=True
                )
            )

    def _access_to(self, sealed_episode: SealedEpisode) -> EpisodeAccess:
        """Return the handle with which a sealed play's episode is found while it is its own."""
        prefix = f"{self._episodes.environment.name}/"
        return EpisodeAccess(
            sealed_episode.episode_id.removeprefix(prefix), sealed_episode.player_id
        )

    def _reject_reset(self, error_text: str) -> StartedEpisode:
        """Return the reply to a reset that starts no episode."""
        play = self._episodes.create_live_episode("http")
        return StartedEpisode(
            play.build_wire_reply(play.session.error_reply(error_text)), error_text=error_text
        )


def get_task_index(reset_arguments: Mapping[str, Any]) -> object:
    """Return the position of the task in its split; 0 where the reset names none."""
    index = reset_arguments.get("index")
    return 0 if index is None else index


def build_sealed_start_request(
    reset_arguments: Mapping[str, Any], environment: Environment, settings: Settings
) -> SealedStartRequest:
    """Return what counts the play that a reset of a sealed task starts for the current participant.

    Raises:
        ConfigurationError: the store does not outlive the server.
        InvalidValueError: the task is not among those that this server offers.
    """
    if settings.episode_store in ("", MEMORY_STORE):
        raise ConfigurationError(PERSISTENT_STORE_REQUIRED)
    split, index = reset_arguments["split"], get_task_index(reset_arguments)
    task_count = count_sealed_tasks(environment, split, settings)
    if type(index) is not int or not 0 <= index < task_count:
        allowed = f"an integer from 0 to {task_count - 1}, the sealed tasks of this server"
        raise InvalidValueError("index", index, allowed)
    return SealedStartRequest(
        client_identity.CURRENT_PARTICIPANT.get(),
        get_task_set_key(environment, split),
        index,
        settings.sealed_plays,
    )


def count_sealed_tasks(environment: Environment, split: str, settings: Settings) -> int:
    """Return how many tasks of a sealed split this server offers."""
    return min(settings.sealed_tasks, environment.splits.size(split))


def get_task_set_key(environment: Environment, split: str) -> str:
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
def _compute_commitment(environment_name: str, _salt: str) -> str:
    """Compute a commitment once for each secret: it takes every sealed task."""
    splits = get_environment(environment_name).splits
    if isinstance(splits, HashedSplits) and SEALED_SPLIT in splits.blocks:
        return splits.sealed_commitment()
    return ""


def build_attestation(
    environment: Environment,
    split: str,
    participant: str,
    sealed_episodes: Iterable[SealedEpisode],
    settings: Settings,
) -> Attestation:
    """Return the record of a participant's sealed plays in an environment."""
    from openenv_kit.trust.attestation import Attestation, AttestedEpisode, digest_actions

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
            AttestedEpisode(
                number=play.number,
                index=play.index,
                reset=get_extra_reset_arguments(messages.loads(play.start_json)["reset"]),
                is_finished=play.score is not None,
                score=play.score or 0.0,
                steps=play.step_count,
                actions_digest=play.actions_digest or digest_actions(()),
            )
            for play in sealed_episodes
        ],
    )
