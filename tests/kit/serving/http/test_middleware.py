"""The middleware passes the caller's role to the routes."""

from __future__ import annotations

from typing import Any

from starlette.types import Receive, Scope, Send

from openenv_kit.serving.http.middleware import RequestMiddleware
from openenv_kit.serving.settings import Settings

TOKEN = "a-token-for-tests-only"


PLAYER_TOKEN = "a-token-for-players-only"


async def roles_of(settings: Settings, *requests: dict[str, str]) -> list[str]:
    """The roles that the gate gives to requests, as the routes see them."""
    seen: list[str] = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["role"])

    for each in requests:
        token = each.pop("token", "")
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {**each, "headers": headers}
        await RequestMiddleware(route, settings)(scope, never, never)
    return seen


async def never(*_: Any) -> Any:
    raise AssertionError("answered by the gate")


async def test_middleware_passes_the_role_to_the_routes() -> None:
    both = Settings(token=TOKEN, player_token=PLAYER_TOKEN)
    for request in (
        {"type": "http", "method": "POST", "path": "/step"},
        {"type": "websocket", "path": "/ws"},
        {"type": "websocket", "path": "/mcp"},
    ):
        trainer, player = {**request, "token": TOKEN}, {**request, "token": PLAYER_TOKEN}
        assert await roles_of(both, {**trainer}, player) == ["trainer", "player"]
        assert await roles_of(Settings(token=TOKEN), {**trainer}) == ["trainer"]
        assert await roles_of(Settings(), request, trainer) == ["trainer", "trainer"]
