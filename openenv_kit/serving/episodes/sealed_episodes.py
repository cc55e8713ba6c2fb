"""Sealed tasks on a server: the server counts their starts and builds the record that is signed.

A score on a sealed task is meaningful only if a participant cannot repeat the task until the result
is good. The store therefore counts the starts of each task for each participant. A reset of a task
resumes the participant's unfinished episode, if there is one. A reset beyond the allowed number of
starts is rejected. `openenv_kit.trust.attestation` describes the signed record, which lists all
starts, and its use for a leaderboard.
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
from openenv_kit.own_data.product_argument import find_product_of_reset, get_splits_of_reset
from openenv_kit.reset_arguments import drop_task_selectors
from openenv_kit.sealed_split import SEALED_SPLIT, has_sealed_salt, is_sealed_split
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeGoneError
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.records import EpisodeStart, StartedEpisode
from openenv_kit.serving.episodes.task_assignment import AssignedTask
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.interface import MEMORY_STORE, EpisodeStore
from openenv_kit.serving.store.sealed_records import (
    SealedEpisode,
    SealedStartRequest,
    SealedStartsUsedUpError,
)
from openenv_kit.splits import HashedSplits
from openenv_kit.variables import SALT_VARIABLE

if TYPE_CHECKING:
    from openenv_kit.serving.episodes.service import EpisodeService
    from openenv_kit.trust.attestation import Attestation

PERSISTENT_STORE_REQUIRED = (
    "Sealed tasks need a persistent episode store, which keeps counting their starts: set "
    "OPENENV_KIT_EPISODE_STORE to a file or to a redis:// address."
)


class SealedEpisodes:
    """The sealed episodes of one environment on this server.

    Args:
        episodes: service for the environment's episodes.
        settings: settings of the server.
    """

    def __init__(self, episodes: EpisodeService, settings: Settings) -> None:
        self._episodes = episodes
        self._settings = settings

    async def resume_or_start_episode(
        self, reset_arguments: Mapping[str, Any], transport: str, assigned_task: AssignedTask | None
    ) -> StartedEpisode:
        """Resume the participant's unfinished episode of a sealed task, or start a new one.

        The arguments are those of `EpisodeService.reset`.
        """
        try:
            if not has_sealed_salt():
                # The session rejects the reset with an explanation.
                return await self._episodes.start_and_store_episode(
                    reset_arguments, transport, assigned_task
                )
            return await self._resume_or_start_or_raise(reset_arguments, transport, assigned_task)
        except ConfigurationError as error:
            return self._build_rejected_reset_with_error_reply(str(error))
        except SealedStartsUsedUpError as error:
            count = "once" if error.max_starts == 1 else f"{error.max_starts} times"
            index = get_requested_task_index_or_zero(reset_arguments)
            return self._build_rejected_reset_with_error_reply(
                f"The sealed task {index} has been started as "
                f"often as this server allows: {count} (OPENENV_KIT_SEALED_PLAYS)."
            )

    async def record_results_and_build_attestation(self, split: str) -> Attestation:
        """Return the unsigned record of the current participant's episodes of a sealed split.

        Raises:
            ConfigurationError: the split is not sealed, or cannot be played on this server.
        """
        if not is_sealed_split(split):
            raise InvalidValueError("split", split, "the name of a sealed split")
        store, environment = self._episodes.store, self._episodes.environment
        await asyncio.to_thread(get_sealed_split_commitment_or_empty, environment)
        participant = client_identity.CURRENT_PARTICIPANT.get()
        task_set_key = build_task_set_key_of_sealed_split(environment, split)
        for sealed_episode in await store.list_sealed_episodes(participant, task_set_key):
            if sealed_episode.score is None:
                await self._record_missing_result_if_ended(sealed_episode)
        sealed_episodes = await store.list_sealed_episodes(participant, task_set_key)
        return build_unsigned_attestation(
            environment, split, participant, sealed_episodes, self._settings
        )

    async def _resume_or_start_or_raise(
        self, reset_arguments: Mapping[str, Any], transport: str, assigned_task: AssignedTask | None
    ) -> StartedEpisode:
        # The first call takes up to a second, during which other requests must not wait.
        await asyncio.to_thread(get_sealed_split_commitment_or_empty, self._episodes.environment)
        start_request = build_sealed_start_request(
            reset_arguments, self._episodes.environment, self._settings
        )
        if resumed := await self._resume_unfinished_and_record_ended(
            reset_arguments, start_request
        ):
            return resumed
        try:
            return await self._episodes.start_and_store_episode(
                reset_arguments, transport, assigned_task, start_request
            )
        except SealedStartsUsedUpError:
            # Another request may have started the task in the meantime: resume that episode.
            if resumed := await self._resume_unfinished_and_record_ended(
                reset_arguments, start_request
            ):
                return resumed
            raise

    async def _resume_unfinished_and_record_ended(
        self, reset_arguments: Mapping[str, Any], start_request: SealedStartRequest
    ) -> StartedEpisode | None:
        """Resume the participant's unfinished episode of a task, or return None if none exists.

        Raises:
            ConfigurationError: the unfinished episode was started with other arguments.
        """
        sealed_episodes = await self._episodes.store.list_sealed_episodes(
            start_request.participant, start_request.task_set_key
        )
        for sealed_episode in reversed(sealed_episodes):
            if sealed_episode.index != start_request.index or sealed_episode.score is not None:
                continue
            access = self._get_player_access(sealed_episode)
            try:
                live_episode = await self._episodes.get_live_episode_updated_from_store(access)
            except EpisodeGoneError:  # the episode expired, was closed or was started again
                continue
            if live_episode.final_reply is not None:
                await record_result_if_sealed_and_ended(self._episodes.store, live_episode)
                continue
            earlier_arguments = drop_task_selectors(live_episode.reset_arguments)
            if earlier_arguments != drop_task_selectors(reset_arguments):
                raise ConfigurationError(
                    f"The unfinished episode of the sealed task {start_request.index} was started "
                    f"with {truncated_repr(earlier_arguments)}; reset with these arguments to "
                    "resume it."
                )
            return await self._episodes.resume_episode(access.episode_id)
        return None

    async def _record_missing_result_if_ended(self, sealed_episode: SealedEpisode) -> None:
        """Record a result that is missing because the server stopped after the last action."""
        with suppress(EpisodeGoneError):
            live_episode = await self._episodes.get_live_episode_updated_from_store(
                self._get_player_access(sealed_episode), allow_closed=True
            )
            await record_result_if_sealed_and_ended(self._episodes.store, live_episode)

    def _get_player_access(self, sealed_episode: SealedEpisode) -> EpisodeAccess:
        """Return the player's access, which becomes invalid when the episode is started again."""
        prefix = f"{self._episodes.environment.name}/"
        return EpisodeAccess(
            sealed_episode.episode_id.removeprefix(prefix), sealed_episode.player_id
        )

    def _build_rejected_reset_with_error_reply(self, error_text: str) -> StartedEpisode:
        """Build the result of a rejected reset, with its error reply."""
        live_episode = self._episodes.create_live_episode_without_reset("http")
        error_reply = live_episode.session.build_error_reply(error_text)
        return StartedEpisode(live_episode.build_wire_reply(error_reply), error_text=error_text)


async def record_result_if_sealed_and_ended(store: EpisodeStore, live_episode: LiveEpisode) -> None:
    """Store the result of an episode that has ended, if its task is sealed."""
    from openenv_kit.trust.attestation import compute_actions_digest

    if live_episode.session.is_sealed and live_episode.final_reply is not None:
        actions = live_episode.record.actions
        await store.record_first_sealed_result(
            live_episode.player_id,
            live_episode.final_reply.reward or 0.0,
            len(actions),
            compute_actions_digest(
                messages.parse_json_within_limits(action_json) for action_json in actions
            ),
        )


def get_requested_task_index_or_zero(reset_arguments: Mapping[str, Any]) -> object:
    """Return the unvalidated task index in the reset arguments; 0 if they contain no index."""
    index = reset_arguments.get("index")
    return 0 if index is None else index


def build_sealed_start_request(
    reset_arguments: Mapping[str, Any], environment: Environment, settings: Settings
) -> SealedStartRequest:
    """Return the request to start a sealed task for the current participant.

    Raises:
        ConfigurationError: the store is not persistent.
        InvalidValueError: this server does not offer the task.
    """
    if settings.episode_store in ("", MEMORY_STORE):
        raise ConfigurationError(PERSISTENT_STORE_REQUIRED)
    split, index = reset_arguments["split"], get_requested_task_index_or_zero(reset_arguments)
    splits = get_splits_of_reset(environment, reset_arguments)
    task_count = min(settings.sealed_tasks, splits.size(split))
    if type(index) is not int or not 0 <= index < task_count:
        allowed = f"an integer from 0 to {task_count - 1}, the sealed tasks of this server"
        raise InvalidValueError("index", index, allowed)
    task_set_key = build_task_set_key_of_sealed_split(environment, split)
    if (product := find_product_of_reset(environment, reset_arguments)) is not None:
        task_set_key = f"{task_set_key}/product/{product.digest}"
    return SealedStartRequest(
        client_identity.CURRENT_PARTICIPANT.get(),
        task_set_key,
        index,
        settings.sealed_plays,
    )


def count_offered_sealed_tasks(environment: Environment, split: str, settings: Settings) -> int:
    """Return how many tasks of a sealed split of the environment this server offers."""
    return min(settings.sealed_tasks, environment.splits.size(split))


def build_task_set_key_of_sealed_split(environment: Environment, split: str) -> str:
    """Return the key under which starts of a sealed split are counted.

    The key contains the environment's versions and the commitment to the secret, because the tasks
    depend on both.
    """
    versions = json.dumps(dict(environment.versions), sort_keys=True)
    return (
        f"{environment.name}/{split}/{get_sealed_split_commitment_or_empty(environment)}/{versions}"
    )


def get_sealed_split_commitment_or_empty(environment: Environment) -> str:
    """Return the commitment to an environment's sealed split; empty if it has no sealed split.

    Raises:
        InvalidValueError: the secret is missing or too short.
    """
    return _compute_sealed_split_commitment_or_empty(
        environment.name, os.environ.get(SALT_VARIABLE, "")
    )


@lru_cache(maxsize=16)
def _compute_sealed_split_commitment_or_empty(environment_name: str, _salt: str) -> str:
    """Compute the commitment, which is cached because it hashes every sealed task."""
    splits = get_environment(environment_name).splits
    if isinstance(splits, HashedSplits) and SEALED_SPLIT in splits.blocks:
        return splits.compute_sealed_commitment()
    return ""


def build_unsigned_attestation(
    environment: Environment,
    split: str,
    participant: str,
    sealed_episodes: Iterable[SealedEpisode],
    settings: Settings,
) -> Attestation:
    """Return the unsigned record of a participant's sealed episodes in an environment."""
    from openenv_kit.trust.attestation import Attestation, AttestedEpisode, compute_actions_digest

    return Attestation(
        player=participant,
        environment=environment.name,
        split=split,
        versions=dict(environment.versions),
        commitment=get_sealed_split_commitment_or_empty(environment),
        task_count=count_offered_sealed_tasks(environment, split, settings),
        plays_per_task=settings.sealed_plays,
        issued_at_s=int(time.time()),
        plays=[
            AttestedEpisode(
                number=episode.number,
                index=episode.index,
                reset=dict(
                    drop_task_selectors(EpisodeStart.from_json(episode.start_json).reset_arguments)
                ),
                is_finished=episode.score is not None,
                score=episode.score or 0.0,
                steps=episode.step_count,
                actions_digest=episode.actions_digest or compute_actions_digest(()),
            )
            for episode in sealed_episodes
        ],
    )
