"""Request bodies as other HTTP clients send them: nulls, chunks, no body, a byte-order mark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from support.raw_connections import Server, answer_of, read_all

RESET = json.dumps({"task_id": "easy_single_spike"}).encode()
JSON = {"content-type": "application/json"}


def in_chunks() -> Iterator[bytes]:
    yield RESET[:10]
    yield RESET[10:]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (RESET, JSON),
        (in_chunks, JSON),
        (b"", {}),
        (b"{}", JSON),
        (b'{"seed": null, "episode_id": null, "task_id": null, "difficulty": null}', JSON),
        (RESET, {"content-type": "application/json; charset=utf-8"}),
        (b"\xef\xbb\xbf" + RESET, JSON),
    ],
    ids=["json", "chunks", "no body", "empty object", "nulls", "charset", "byte-order mark"],
)
def test_reset_with_an_unusual_body_starts_an_episode(
    client: TestClient, content: Any, headers: dict[str, str]
) -> None:
    body = content() if callable(content) else content
    reply = client.post("/reset", content=body, headers=headers)
    assert reply.status_code == 200
    assert reply.json()["observation"]["status"] == "ready"


def test_reset_without_content_type_is_422(client: TestClient) -> None:
    assert client.post("/reset", content=RESET).status_code == 422


@pytest.mark.slow
def test_request_that_offers_http_2_is_answered_over_http_1(raw_server: Server) -> None:
    head = (
        "POST /reset HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        f"Content-Length: {len(RESET)}\r\n\r\n"
    )
    with raw_server.connect() as connection:
        connection.sendall(head.encode())
        connection.sendall(RESET)
        status, _, body = answer_of(read_all(connection))
    assert status == 200
    assert json.loads(body)["observation"]["status"] == "ready"
