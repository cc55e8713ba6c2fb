"""Keys and records of the Redis store.

Every key starts with the version of the records. Records of other versions are not converted. They
expire like all records.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import NamedTuple

from openenv_kit.serving.store.interface import EndStatus, NewEpisode, StoredEpisode

KEY_NAMESPACE = "openenv-kit"
FORMAT_VERSION = 11
"""Version of the record format. Every change of the records increments it."""
OTHER_FORMAT_VERSIONS = tuple(
    version for version in range(1, FORMAT_VERSION + 3) if version != FORMAT_VERSION
)
"""Record versions of other releases that may store episodes in the same database."""
KEY_PREFIX = f"{KEY_NAMESPACE}:{FORMAT_VERSION}:"
SECRET_KEY = f"{KEY_PREFIX}secret"


class StoredAction(NamedTuple):
    """A stored action of an episode, with the request id that the client sent."""

    action_json: bytes
    request_id: str

    def to_json(self) -> str:
        """Serialize to the JSON object that is stored, which contains `action_json` unchanged."""
        return json.dumps({"request_id": self.request_id, "action_json": self.action_json.decode()})

    @classmethod
    def from_json(cls, text: str) -> StoredAction:
        """Parse a stored JSON object."""
        fields = json.loads(text)
        return cls(fields["action_json"].encode(), fields["request_id"])


def build_episode_key(episode_id: str) -> str:
    """Return the key of an episode's hash."""
    return f"{KEY_PREFIX}episode:{episode_id}"


def build_episode_key_of_version(episode_id: str, version: int) -> str:
    """Return the key of an episode under another version of the record format."""
    return f"{KEY_NAMESPACE}:{version}:episode:{episode_id}"


def build_player_episode_id_key(player_id: str) -> str:
    """Return the key under which the episode id for a player id is stored."""
    return f"{KEY_PREFIX}player:{player_id}"


def build_open_episodes_key(transport: str) -> str:
    """Return the key of a transport's open episodes, sorted by their expiry time."""
    return f"{KEY_PREFIX}open-episodes:{transport}"


def build_client_episodes_key(client_address: str) -> str:
    """Return the key of a client's episodes, in the order in which they are evicted."""
    return f"{KEY_PREFIX}client-episodes:{client_address}"


def build_assigned_tasks_key(split_key: str) -> str:
    """Return the key of a split's reserved tasks, sorted by the end of their reservation."""
    return f"{KEY_PREFIX}assigned-tasks:{split_key}"


def slow_result_field(action_index: int) -> str:
    """Return the name of the hash field for the slow result of an action."""
    return f"slow_result:{action_index}"


def action_field(action_index: int) -> str:
    """Return the name of the hash field for an action."""
    return f"action:{action_index}"


def encode_slow_result_base64(compressed_result: bytes) -> str:
    """Encode a compressed result as base64, because the Redis client decodes values as strings."""
    return base64.b64encode(compressed_result).decode()


def build_episode_fields(
    new_episode: NewEpisode, lease_id: str, start_count: int
) -> dict[str, str | int]:
    """Return the fields of a new episode's hash."""
    fields: dict[str, str | int] = {
        "lease_id": lease_id,
        "transport": new_episode.transport,
        "client_address": new_episode.client_address,
        "player_id": new_episode.player_id,
        "start_count": start_count,
        "start_json": new_episode.start_json.decode(),
        "step_count": len(new_episode.actions),
        "end_status": EndStatus.NOT_ENDED,
    }
    for index, action_json in enumerate(new_episode.actions):
        fields[action_field(index)] = StoredAction(action_json, "").to_json()
    for index, compressed_result in new_episode.slow_results.items():
        fields[slow_result_field(index)] = encode_slow_result_base64(compressed_result)
    return fields


def parse_stored_episode(fields: Mapping[str, str], lease_id: str) -> StoredEpisode:
    """Build an episode from its hash. `lease_id` replaces the lease in the hash."""
    indices = range(int(fields["step_count"]))
    actions = [StoredAction.from_json(fields[action_field(index)]) for index in indices]
    return StoredEpisode(
        lease_id=lease_id,
        start_json=fields["start_json"].encode(),
        actions=tuple(action.action_json for action in actions),
        request_ids=tuple(action.request_id for action in actions),
        player_id=fields["player_id"],
        start_count=int(fields["start_count"]),
        end_status=EndStatus(fields["end_status"]),
        slow_results={
            index: base64.b64decode(fields[slow_result_field(index)])
            for index in indices
            if slow_result_field(index) in fields
        },
    )
