"""Fixtures of the agent's tests: a fake model, and runs of inference.py in this process."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import inference
from openenv_kit.agent.settings import FIELD_OF_VARIABLE
from support.agent_runs import KEY, Play, Ran
from support.contract_lines import parse_blocks
from support.fake_model import FakeModel, fake_model


@pytest.fixture(autouse=True, scope="session")
def _authorities_read_once() -> Iterator[None]:
    """Every HTTP client reads all certificate authorities anew, for 30 ms; here none needs any."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with fake_model() as server:
        yield server


@pytest.fixture(autouse=True)
def clean_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in FIELD_OF_VARIABLE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def play(
    capsys: pytest.CaptureFixture[str],
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Play:
    """Runs inference.py in this process against the shared server, and reads all it wrote."""

    def run(*arguments: str, model: str | None = None, server: FakeModel | None = None) -> Ran:
        given: Sequence[str] = arguments
        if not {"--embedded", "--base-url"} & set(arguments) and "BASE_URL" not in os.environ:
            given = ["--base-url", server_url, *arguments]
        if server is not None:
            monkeypatch.setenv("API_KEY", KEY)
            monkeypatch.setenv("API_BASE_URL", server.url)
            monkeypatch.setenv("MODEL_NAME", model or "good")
        capsys.readouterr()
        code = inference.main(given)
        out, err = capsys.readouterr()
        written = Path("results.json")
        results = json.loads(written.read_text()) if written.exists() else {}
        return Ran(code, out, err, parse_blocks(out), results)

    return run
