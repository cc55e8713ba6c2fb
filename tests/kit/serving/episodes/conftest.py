"""Servers of each environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from support.episode_servers import build_game_app
from support.playable_environments import Game


@pytest.fixture
def game_client(game: Game) -> Iterator[TestClient]:
    """Return a client of a server whose episodes are in memory."""
    with TestClient(build_game_app(game, episode_store="memory")) as client:
        yield client


@pytest.fixture
def workers(game: Game, tmp_path: Path) -> Iterator[list[TestClient]]:
    """Return clients of two workers that share a store."""
    store = str(tmp_path / "s.db")
    with ExitStack() as stack:
        yield [
            stack.enter_context(TestClient(build_game_app(game, episode_store=store)))
            for _ in range(2)
        ]
