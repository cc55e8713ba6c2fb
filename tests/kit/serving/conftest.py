"""Servers of each environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from support.episode_servers import TOKEN_SETTINGS, build_game_app, token_header
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


@pytest.fixture(params=["open", "tokens"])
def trainer(request: pytest.FixtureRequest, game: Game, tmp_path: Path) -> Iterator[TestClient]:
    """Return a trainer's client of a server without and with tokens."""
    tokens = TOKEN_SETTINGS if request.param == "tokens" else {}
    app = build_game_app(game, episode_store=str(tmp_path / "s.db"), **tokens)
    with TestClient(app, headers=token_header("trainer")) as client:
        yield client
