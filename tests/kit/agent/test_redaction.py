"""No key and no password is printed or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from openenv_kit.agent.redaction import SECRET_PLACEHOLDER, build_redactor
from support.agent_runs import KEY, Play
from support.fake_model import FakeModel

PASSWORD = "a-long-password-of-mine"


def everything_written(folder: Path) -> str:
    return "".join(each.read_text() for each in folder.rglob("*") if each.is_file())


@pytest.mark.parametrize("script", ["leaks-the-key", "bad-key", "no-credits"])
def test_key_repeated_by_a_model_or_endpoint_is_redacted_everywhere(
    play: Play, model: FakeModel, tmp_path: Path, script: str
) -> None:
    ran = play(
        "--tasks", "easy_single_spike", "--record", "runs",
        model=script, server=model,
    )  # fmt: skip
    assert model.keys[-1] == f"Bearer {KEY}"  # the endpoint did know it
    written = everything_written(tmp_path)
    assert KEY not in ran.out + ran.err + written
    if script == "leaks-the-key":
        assert SECRET_PLACEHOLDER in ran.out.replace("_secret_", SECRET_PLACEHOLDER)
        assert SECRET_PLACEHOLDER in written
        assert len(ran.blocks[0].steps) == 2


@pytest.mark.slow
def test_a_password_in_the_servers_address_stays_out_of_messages(
    play: Play, server_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENENV_CONNECT_TIMEOUT_S", "0.2")
    ran = play("--base-url", f"http://me:{PASSWORD}@127.0.0.1:9", "--policy", "null")
    assert ran.code == 1
    assert "127.0.0.1:9" in ran.err
    monkeypatch.delenv("OPENENV_CONNECT_TIMEOUT_S")
    good = server_url.replace("http://", f"http://me:{PASSWORD}@")
    ran = play("--base-url", good, "--policy", "null", "--record", "runs")
    assert ran.code == 0
    assert PASSWORD not in ran.out + ran.err + everything_written(tmp_path)


def test_short_placeholders_are_no_secrets() -> None:
    assert build_redactor(["none", ""])("none of these") == "none of these"


def test_secret_inside_a_longer_secret_is_redacted_whole() -> None:
    clean = build_redactor(["abcdefgh", "abcdefgh-ijkl"])
    assert (
        clean("x abcdefgh-ijkl y abcdefgh z") == f"x {SECRET_PLACEHOLDER} y {SECRET_PLACEHOLDER} z"
    )
