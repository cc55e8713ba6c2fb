"""Finds the episode that an MCP client requests, or starts a new episode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.requests import HTTPConnection

from openenv_kit.errors import ConfigurationError
from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeGoneError, EpisodeTooLongError
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.task_assignment import SplitUsedUpError
from openenv_kit.serving.http.error_responses import get_response_head_for_store_error
from openenv_kit.serving.mcp.dispatch import RpcError, RpcErrorCode
from openenv_kit.serving.messages import JsonObject
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.roles import PLAYER_MCP_MESSAGE, Role
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.transports import Transport
from openenv_kit.serving.websocket.sessions import CapacityError

ResetArguments = JsonObject
PlayerId = str


async def find_requested_episode_or_reset_arguments(
    connection: HTTPConnection, episodes: EpisodeService
) -> EpisodeAccess | ResetArguments:
    """Return the episode whose id is in the URL, or the reset arguments of a new episode.

    The query may contain `player_id`, `episode_id` or `task_id`. If it contains none of them, the
    returned arguments are empty, so that a task that no session has played is assigned.

    Raises:
        RpcError: the caller is a player and sent no player_id.
        EpisodeGoneError: the episode is unknown or cannot be played.
    """
    query = connection.query_params
    if player_id := query.get("player_id"):
        return await episodes.find_access_by_player_id(player_id)
    if not Role(connection.state.role).may_choose_episodes:
        raise RpcError(RpcErrorCode.INVALID_PARAMS, PLAYER_MCP_MESSAGE)
    if episode_id := query.get("episode_id"):
        return await episodes.get_player_access_by_episode_id(episode_id)
    task_id = query.get("task_id")
    return {"task_id": task_id} if task_id else {}


async def start_requested_or_assigned_task(
    episodes: EpisodeService, reset_arguments: JsonObject, transport: Transport
) -> PlayerId:
    """Start an episode of the requested or the next assigned task, and return its player id.

    Args:
        episodes: episodes of the environment.
        reset_arguments: arguments of the reset; if empty, a task that no session has played is
            assigned.
        transport: transport of the client, for the log and the metrics.

    Raises:
        RpcError: the reset was rejected.
    """
    if reset_arguments:
        started = await episodes.reset(reset_arguments, transport)
    else:
        started = await episodes.start_next_task_of_mcp_split(transport)
    if started.access is None:
        raise RpcError(RpcErrorCode.INVALID_PARAMS, started.error_text)
    return started.player_id


@contextmanager
def convert_episode_errors_to_rpc_errors(gone_status: HTTPStatus = HTTPStatus.OK) -> Iterator[None]:
    """Convert errors of episodes and of their store, raised in the block, to RpcErrors.

    Args:
        gone_status: HTTP status for an episode that is unknown or can no longer be played.
    """
    try:
        yield
    except EpisodeGoneError as error:
        raise RpcError(RpcErrorCode.INVALID_PARAMS, str(error), status=gone_status) from None
    except EpisodeTooLongError as error:
        raise RpcError(RpcErrorCode.INVALID_PARAMS, str(error)) from None
    except (SplitUsedUpError, CapacityError, ConfigurationError) as error:
        data = getattr(error, "details", None)
        raise RpcError(RpcErrorCode.SERVER_ERROR, str(error), data) from None
    except StoreError as error:
        data = {"retry_after_s": error.retry_after_s}
        status, headers = get_response_head_for_store_error(error)
        raise RpcError(
            RpcErrorCode.SERVER_ERROR, str(error), data, ErrorKind.STORE, status, headers
        ) from None
