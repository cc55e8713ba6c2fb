"""Recorded conversations, in whose files a part that comes more than once is written once.

In tests/, `python -m support.recorded_conversations` records all of them anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from starlette.testclient import TestClient

from support import conversation_scripts as plays
from support.conversation_messages import MODES
from support.paths import TESTS
from support.wire_conversation import Conversation, digest

FOLDER = TESTS / "contract" / "wire_conversations"
LEAST_SHARED = 40
"""Length of JSON from which a part is worth a reference."""
EMPTY = "<empty>"
"""Stands in a packed object for its empty fields, which observations have many of."""

Parts = dict[str, Any]
"""Shared parts by what stands for them."""

TOKENS = {"token": "trainer-trainer-trainer", "player_token": "player-player-player"}
PLAYS: dict[str, tuple[Callable[[Conversation], None], dict[str, Any]]] = {
    **{
        play.__name__: (play, settings)
        for play, settings in (
            (plays.http_routes, {}),
            (plays.http_episodes, {}),
            (plays.websocket, {"max_sessions": 2}),
            (plays.players_and_resumes, {}),
            (plays.mcp_over_http, {"max_mcp_sessions": 3}),
            (plays.mcp_over_sockets, {"max_mcp_sessions": 2}),
            (plays.small_limits, {"max_message_bytes": 2048, "max_episode_bytes": 1200}),
            (plays.with_tokens, TOKENS),
            (plays.with_origins, {"allowed_origins": ("https://trainer.example",)}),
        )
    },
    **{mode: (partial(plays.play_mode, mode), {}) for mode in MODES},
}


def converse(name: str) -> list[list[Any]]:
    """Play one conversation; return its requests and the shapes of the replies."""
    from openenv_kit.serving.app import build_app
    from openenv_kit.serving.settings import Settings
    from openenv_kit.serving.store.sqlite import SqliteStore
    from openenv_kit.serving.websocket import trainer_connection

    async def secret(_: SqliteStore) -> str:
        """Return a fixed secret, which decides the tasks of anonymous sessions."""
        return "0" * 64

    play, settings = PLAYS[name]
    with pytest.MonkeyPatch.context() as patch:
        # The test client's connections never end by themselves, so waiting for one takes the whole
        # time; here every episode that changes hands is in the store already.
        patch.setattr(trainer_connection, "RELEASE_TIMEOUT_S", 0.05)
        patch.setattr(SqliteStore, "get_secret", secret)
        with TestClient(build_app(Settings(episode_store="memory", **settings))) as client:
            conversation = Conversation(client)
            play(conversation)
    return conversation.log


def pack(conversations: dict[str, Any]) -> dict[str, Any]:
    """Replace repeated parts by references; a part is stored with its first conversation."""
    grouped = {name: group_empty(each) for name, each in conversations.items()}
    counts = Counter[str]()
    count(grouped, counts)
    shared = {written for written, times in counts.items() if times > 1}
    known: Parts = {}
    packed = {}
    for name, exchanges in grouped.items():
        before = set(known)
        written = [pack_value(each, shared, known) for each in exchanges]
        new = {each: part for each, part in sorted(known.items()) if each not in before}
        packed[name] = {"parts": new, "exchanges": written}
    return packed


def unpack(value: Any, parts: Parts) -> Any:
    """Replace the references of a packed value by their parts."""
    if isinstance(value, str):
        return unpack(parts[value], parts) if value in parts else value
    if isinstance(value, list):
        return [unpack(each, parts) for each in value]
    if isinstance(value, dict):
        whole = {name: unpack(each, parts) for name, each in value.items()}
        empty = whole.pop(EMPTY, {})
        return {**whole, **empty}
    return value


def group_empty(value: Any) -> Any:
    """Group the empty fields of each object."""
    if isinstance(value, list):
        return [group_empty(each) for each in value]
    if not isinstance(value, dict):
        return value
    filled = {name: group_empty(each) for name, each in value.items() if each}
    empty = {name: each for name, each in value.items() if not each}
    return {**filled, EMPTY: empty} if len(empty) > 2 else {**filled, **empty}


def count(value: Any, counts: Counter[str]) -> None:
    """Count each part that is large enough to share, but not again inside a known part."""
    if isinstance(value, dict | list) and len(written := json.dumps(value)) >= LEAST_SHARED:
        counts[written] += 1
        if counts[written] == 1:
            for each in value.values() if isinstance(value, dict) else value:
                count(each, counts)


def pack_value(value: Any, shared: set[str], parts: Parts) -> Any:
    """Return the value with references to shared parts, which are added to `parts`."""
    if not isinstance(value, dict | list):
        return value
    written = json.dumps(value)
    reference = f"<{digest(written)}>"
    if reference in parts:
        return reference
    if isinstance(value, dict):
        packed: Any = {name: pack_value(each, shared, parts) for name, each in value.items()}
    else:
        packed = [pack_value(each, shared, parts) for each in value]
    if written not in shared:
        return packed
    parts[reference] = packed
    return reference


def read_goldens() -> dict[str, list[list[Any]]]:
    """Return the recorded conversations: pairs of request and shape of the reply."""
    files = {each.stem: json.loads(each.read_text()) for each in FOLDER.glob("*.json")}
    parts = {name: part for file in files.values() for name, part in file["parts"].items()}
    return {name: unpack(file["exchanges"], parts) for name, file in files.items()}


def write_goldens() -> None:
    """Play every conversation and record it."""
    packed = pack({name: converse(name) for name in PLAYS})
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, file in packed.items():
        parts = [f"{compact(each)}:{compact(part)}" for each, part in file["parts"].items()]
        exchanges = [compact(each) for each in file["exchanges"]]
        text = '{"parts":{\n%s\n},"exchanges":[\n%s\n]}\n'
        (FOLDER / f"{name}.json").write_text(text % (",\n".join(parts), ",\n".join(exchanges)))


def compact(value: Any) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    write_goldens()
