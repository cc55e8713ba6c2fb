"""Records of the Redis store."""

from __future__ import annotations

import json

import fakeredis

from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis import RedisStore
from support.blocking_store import BlockingStore


def test_stored_action_is_json_object_with_request_id_and_action() -> None:
    server = fakeredis.FakeServer()
    redis = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    store = BlockingStore(RedisStore(redis, StoreLimits(60)))
    lease_id = store.create("a", "http", b"{}")
    assert store.append_action_if_index_is_next(
        "a", lease_id, 0, b'{"text": "\xc3\xa9\\n"}', "two\nlines"
    )
    fields = fakeredis.FakeRedis(server=server, decode_responses=True).hgetall(
        "openenv-kit:11:episode:a"
    )
    entry = json.loads(fields["action:0"])
    assert entry == {"request_id": "two\nlines", "action_json": '{"text": "é\\n"}'}
    stored = store.load_and_extend_expiry("a")
    assert (stored.actions, stored.request_ids) == ((b'{"text": "\xc3\xa9\\n"}',), ("two\nlines",))
    store.close()
