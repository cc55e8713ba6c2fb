"""Security headers of responses."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings

TOKEN = "a-token-long-enough"


@pytest.fixture(autouse=True)
def _page_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")


def client_of(base_url: str = "http://testserver", **settings: object) -> TestClient:
    app = build_app(Settings(**{"episode_store": "memory", **settings}))  # type: ignore[arg-type]
    return TestClient(app, base_url=base_url, follow_redirects=False)


def policy_of(answer: object) -> dict[str, list[str]]:
    text = answer.headers["content-security-policy"]  # type: ignore[attr-defined]
    parts = [part.split() for part in text.split(";")]
    return {name: sources for name, *sources in parts}


def test_every_answer_forbids_guessing_types_and_telling_addresses() -> None:
    with client_of(token=TOKEN) as client:
        auth = {"authorization": f"Bearer {TOKEN}"}
        answers = [client.get(path, headers=auth) for path in ("/health", "/docs", "/web/", "/x")]
        answers += [client.get("/metrics"), client.post("/reset", content=b"{", headers=auth)]
    assert {answer.status_code for answer in answers} >= {200, 401, 404, 422}
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert policy_of(answer)["default-src"] == ["'none'"]


def test_only_the_page_may_be_embedded_by_spaces_and_allowed_origins() -> None:
    with client_of(allowed_origins=("https://lab.example",)) as client:
        for path in ("/web", "/web/", "/web/theme.css"):
            ancestors = policy_of(client.get(path))["frame-ancestors"]
            spaces = ["https://huggingface.co", "https://*.hf.space"]
            assert ancestors == ["'self'", *spaces, "https://lab.example"]
        for path in ("/docs", "/health"):
            assert policy_of(client.get(path))["frame-ancestors"] == ["'none'"]


def test_page_runs_only_its_own_scripts_and_those_with_the_nonce_of_the_response() -> None:
    nonces = set()
    with client_of() as client:
        for _ in range(2):
            answer = client.get("/web/")
            policy = policy_of(answer)
            own, nonce, evaluation = policy["script-src"]
            assert (own, evaluation) == ("'self'", "'unsafe-eval'")
            assert policy["connect-src"] == ["'self'"]
            value = nonce.removeprefix("'nonce-").removesuffix("'")
            scripts = re.findall("<script[^>]*>", answer.text)
            assert scripts
            assert [tag for tag in scripts if f'nonce="{value}"' not in tag] == []
            nonces.add(value)
    assert len(nonces) == 2
