"""Session cookies of the debugger."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.http import page_sessions
from openenv_kit.serving.http.page_sessions import PageSessions
from openenv_kit.serving.settings import Settings

TOKEN = "a-token-long-enough"


LOGIN = f"/web?token={TOKEN}"


@pytest.fixture(autouse=True)
def _page_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")


def client_of(base_url: str = "http://testserver", **settings: object) -> TestClient:
    app = build_app(Settings(**{"episode_store": "memory", **settings}))  # type: ignore[arg-type]
    return TestClient(app, base_url=base_url, follow_redirects=False)


def session_of(client: TestClient) -> str:
    client.cookies.clear()
    cookie = client.get(LOGIN).headers["set-cookie"]
    return cookie.partition("=")[2].partition(";")[0]


def test_page_cookie_is_random_and_does_not_contain_the_token() -> None:
    with client_of(token=TOKEN) as client:
        one, other = session_of(client), session_of(client)
        assert one.partition(".")[0] != other.partition(".")[0]
        constant = hmac.new(TOKEN.encode(), b"openenv-kit-web", hashlib.sha256).hexdigest()
        for session_id, status in ((one, 200), (other, 200), (constant, 401), (one[:-1], 401)):
            client.cookies.clear()
            headers = {"cookie": f"openenv_kit_web={session_id}"}
            assert client.get("/web/config", headers=headers).status_code == status


def test_page_cookie_over_https_works_in_a_frame_and_otherwise_is_lax(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with client_of("https://server.example", token=TOKEN) as client:
        cookie = client.get(LOGIN).headers["set-cookie"]
        assert cookie.endswith("; HttpOnly; SameSite=None; Secure; Partitioned")
    with client_of(token=TOKEN) as client:
        cookie = client.get(LOGIN).headers["set-cookie"]
        assert cookie.endswith("; HttpOnly; SameSite=Lax")
    monkeypatch.setenv("SPACE_HOST", "me-lab.hf.space")  # whose proxy ends TLS
    with client_of("http://me-lab.hf.space", token=TOKEN) as client:
        assert "SameSite=None; Secure; Partitioned" in client.get(LOGIN).headers["set-cookie"]


def test_page_session_is_known_to_other_workers_and_ends_with_token_or_store(
    tmp_path: Path,
) -> None:
    store = str(tmp_path / "s.db")

    def status(session_id: str, **settings: object) -> int:
        with client_of(**{"episode_store": store, "token": TOKEN, **settings}) as client:  # type: ignore[arg-type]
            headers = {"cookie": f"openenv_kit_web={session_id}"}
            return client.get("/web/config", headers=headers).status_code

    with client_of(episode_store=store, token=TOKEN) as client:
        mine = session_of(client)
    assert status(mine) == 200
    assert status(mine, token="another-token-long-enough") == 401
    assert status(mine, episode_store=str(tmp_path / "t.db")) == 401


def test_page_session_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = PageSessions(TOKEN)
    mine = sessions.create_signed_session_id()
    assert sessions.is_valid_session_id(mine)
    assert not PageSessions(TOKEN).is_valid_session_id(mine)
    for forged in (
        "",
        ".",
        "..",
        f"{mine}0",
        "9" * 300,
        f"x.99999999999.{mine.rpartition('.')[2]}",
    ):
        assert not sessions.is_valid_session_id(forged)
    now = page_sessions.time.time()
    monkeypatch.setattr(
        page_sessions.time, "time", lambda: now + page_sessions.SESSION_LIFETIME_S + 1
    )
    assert not sessions.is_valid_session_id(mine)
