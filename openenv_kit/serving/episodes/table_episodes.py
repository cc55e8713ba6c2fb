"""Service for stored episodes and for the episodes of tables that the operator provides.

Episodes of tables (setting OPENENV_KIT_TABLES) are kept in a separate store in the memory of this
process, so a restart of the server ends them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.own_data.served_tables import load_served_tables
from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.reset_arguments import EPISODE_ID, PRODUCT, TABLE
from openenv_kit.serving.episodes.ids import (
    TABLE_EPISODE_ID_PREFIX,
    EpisodeAccess,
    UnknownEpisodeError,
)
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.records import StartedEpisode
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.table_sessions import create_table_environment
from openenv_kit.serving.episodes.task_assignment import AssignedTask
from openenv_kit.serving.http.client_identity import CURRENT_PARTICIPANT
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.setting_values import ReservedParticipant
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.interface import MEMORY_STORE, EpisodeStore
from openenv_kit.serving.transports import Transport

MAX_TABLE_EPISODES = 256
"""Largest number of table episodes in memory; finished and idle ones are evicted for new ones."""


class TableEpisodeService(EpisodeService):
    """Service for an environment's episodes, including those of its served tables.

    Only holders of the trainer's token can start an episode of a table. For all other callers, and
    on the debugger's page, a reset with the argument `table` is rejected as on a server without
    tables.

    Args:
        settings: settings of the server.
        environment: the environment.
        store: store of the episodes that are not played on a table.
    """

    def __init__(self, settings: Settings, environment: Environment, store: EpisodeStore) -> None:
        super().__init__(settings, environment, store)
        self._tables = load_served_tables(settings.tables, environment.name)
        table_settings = settings.model_copy(
            update={
                "episode_store": MEMORY_STORE,
                "data_folder": "",
                "max_stored_episodes": MAX_TABLE_EPISODES,
            }
        )
        table_environment = create_table_environment(environment, self._tables)
        self._table_episodes = EpisodeService(table_settings, table_environment)

    async def reset(
        self,
        reset_arguments: Mapping[str, Any],
        transport: str = "http",
        assigned_task: AssignedTask | None = None,
    ) -> StartedEpisode:
        if TABLE.name not in reset_arguments or not may_play_tables(transport):
            return await super().reset(reset_arguments, transport, assigned_task)
        if reset_arguments.get(EPISODE_ID.name) is not None:
            problem = "With a table, the server chooses the episode_id: leave it out."
            live_episode = self._table_episodes.create_live_episode_without_reset(transport)
            reply = Reply(ReplyStatus.ERROR, problem)
            return StartedEpisode(live_episode.build_wire_reply(reply), error_text=problem)
        episode_id = f"{TABLE_EPISODE_ID_PREFIX}{secrets.token_hex(16)}"
        return await self._table_episodes.reset(
            {**reset_arguments, EPISODE_ID.name: episode_id}, transport
        )

    async def find_access_by_player_id(self, player_id: str) -> EpisodeAccess:
        try:
            return await self._table_episodes.find_access_by_player_id(player_id)
        except UnknownEpisodeError:
            return await super().find_access_by_player_id(player_id)

    async def get_player_access_by_episode_id(self, episode_id: str) -> EpisodeAccess:
        if _is_table_episode(episode_id):
            return await self._table_episodes.get_player_access_by_episode_id(episode_id)
        return await super().get_player_access_by_episode_id(episode_id)

    async def step(
        self, access: EpisodeAccess, action: JsonObject, request_id: str = ""
    ) -> WireReply:
        if _is_table_episode(access.episode_id):
            return await self._table_episodes.step(access, action, request_id)
        return await super().step(access, action, request_id)

    async def get_tool_selection_fields(self, access: EpisodeAccess) -> JsonObject:
        if not _is_table_episode(access.episode_id):
            return await super().get_tool_selection_fields(access)
        live_episode = await self._table_episodes.get_live_episode_updated_from_store(access)
        table = self._tables[live_episode.reset_arguments[TABLE.name]]
        return {**live_episode.get_tool_selection_fields(), PRODUCT.name: table.product}

    async def get_trainer_record(self, episode_id: str) -> Any:
        if _is_table_episode(episode_id):
            return await self._table_episodes.get_trainer_record(episode_id)
        return await super().get_trainer_record(episode_id)

    async def get_live_episode_updated_from_store(
        self, access: EpisodeAccess, *, allow_closed: bool = False
    ) -> LiveEpisode:
        if _is_table_episode(access.episode_id):
            return await self._table_episodes.get_live_episode_updated_from_store(
                access, allow_closed=allow_closed
            )
        return await super().get_live_episode_updated_from_store(access, allow_closed=allow_closed)

    async def resume_episode(self, episode_id: str) -> StartedEpisode:
        if _is_table_episode(episode_id):
            return await self._table_episodes.resume_episode(episode_id)
        return await super().resume_episode(episode_id)

    async def close_episode_and_release_unplayed_task(self, access: EpisodeAccess) -> None:
        if _is_table_episode(access.episode_id):
            return await self._table_episodes.close_episode_and_release_unplayed_task(access)
        return await super().close_episode_and_release_unplayed_task(access)

    async def close_store_and_clear_cache(self) -> None:
        await self._table_episodes.close_store_and_clear_cache()
        await super().close_store_and_clear_cache()


def create_episode_service(
    settings: Settings, environment: Environment, store: EpisodeStore
) -> EpisodeService:
    """Return the service for an environment's episodes, including tables if any are served."""
    if settings.tables and load_served_tables(settings.tables, environment.name):
        return TableEpisodeService(settings, environment, store)
    return EpisodeService(settings, environment, store)


def may_play_tables(transport: str) -> bool:
    """Return whether the caller holds the trainer's token and does not use the debugger."""
    is_trainer = CURRENT_PARTICIPANT.get() == ReservedParticipant.TRAINER
    return is_trainer and transport != Transport.PAGE


def _is_table_episode(episode_id: str) -> bool:
    return episode_id.startswith(TABLE_EPISODE_ID_PREFIX)
