"""Products of a server: over WebSocket, HTTP and MCP, by name and inline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.products.product_registry import register_product_file
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.product_argument import require_expected_product
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import start_session
from openenv_kit.serving.app import build_app, main
from openenv_kit.serving.settings import Settings, load_settings
from support.live_server import served
from support.products import build_level_mapping, build_product_mapping, write_example_product
from support.server_requests import call_mcp, send_message
from support.websocket_session import talking

INLINE = {**build_product_mapping(), "name": "cafe", "level": build_level_mapping()}
NAMES = ["visits", "carts", "orders", "payments"]


@pytest.fixture
def client(product_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("PRODUCTS", str(product_file))
    with TestClient(build_app(Settings(episode_store="memory"), ENVIRONMENT)) as test_client:
        yield test_client


@pytest.mark.parametrize("product", ["shop", INLINE], ids=["name", "inline"])
def test_websocket_reset_with_product_shows_its_names(client: TestClient, product: Any) -> None:
    with client.websocket_connect("/ws") as socket:
        reply = send_message(socket, "reset", {"product": product, "split": "test", "index": 2})
    config = reply["observation"]["config"]
    assert config["stages"] == NAMES
    assert config["product"] == (product if isinstance(product, str) else "cafe")


@pytest.mark.parametrize("product", ["shop", INLINE], ids=["name", "inline"])
def test_http_episode_of_product_is_rebuilt_from_the_store(
    client: TestClient, product: Any
) -> None:
    body = {"product": product, "split": "test", "index": 2, "episode_id": "my-episode"}
    config = client.post("/reset", json=body).json()["observation"]["config"]
    client.app.state.episodes._loader.cache.clear()  # type: ignore[attr-defined]
    action = {"analysis_method": "task_overview", "analysis_args": {}}
    request = {"episode_id": "my-episode", "action": action}
    reply = client.post("/step", json=request).json()["observation"]
    assert reply["status"] == "analyzed"
    assert reply["analysis_result"]["result"]["config"] == config


@pytest.mark.parametrize("product", ["shop", INLINE], ids=["name", "inline"])
def test_mcp_tools_of_product_list_its_stages(client: TestClient, product: Any) -> None:
    reset = client.post("/reset", json={"product": product, "difficulty": "easy"}).json()
    player_id = reset["observation"]["metadata"]["player_id"]
    listed = call_mcp(client, "tools/list", {"Mcp-Session-Id": player_id}).json()["result"]["tools"]
    assert "payments" in str(listed)
    assert "menu" not in str(listed)


def test_mcp_over_websocket_lists_the_stages_of_the_product(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        send_message(socket, "reset", {"product": "shop", "difficulty": "easy"})
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        listed = send_message(socket, "mcp", request)
    assert "payments" in str(listed)


def test_unknown_product_names_those_of_the_server(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        reply = send_message(socket, "reset", {"product": "shpo"})
    message = reply["observation"]["message"]
    assert "Did you mean 'shop'" in message
    assert "--product FILE" in message


def test_server_without_inline_products_refuses_them_and_takes_names(
    product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODUCTS", str(product_file))
    settings = Settings(episode_store="memory", inline_products=False)
    with TestClient(build_app(settings, ENVIRONMENT)) as client:
        refused = client.post("/reset", json={"product": INLINE}).json()
        accepted = client.post("/reset", json={"product": "shop"}).json()
    assert "takes no inline products" in str(refused)
    assert accepted["observation"]["status"] == "ready"


def test_inline_products_are_off_by_default_in_a_space() -> None:
    assert load_settings({}).inline_products
    assert not load_settings({"SPACE_HOST": "me.hf.space"}).inline_products
    variables = {"SPACE_HOST": "me.hf.space", "OPENENV_KIT_INLINE_PRODUCTS": "1"}
    assert load_settings(variables).inline_products


def test_wrong_inline_product_is_refused_by_key(client: TestClient) -> None:
    reply = client.post("/reset", json={"product": {**INLINE, "days": 3}})
    assert "days is 3" in reply.text


def test_server_command_adds_its_products_to_the_variable(
    product_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--product", str(product_file), "--show-settings"])
    assert f"PRODUCTS={product_file}" in capsys.readouterr().out
    assert os.environ["PRODUCTS"] == str(product_file)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('environment = "firewatch"\n', "does not support products"),
        ('environment = "nobody"\n', "product of 'nobody'"),
        ("format = 1\nformat = 2\n", "not TOML"),
        ("format = 0\n", "format is 0"),
    ],
)
def test_server_command_refuses_a_wrong_product_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, problem: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(content)
    with pytest.raises(SystemExit):
        main(["--product", str(path), "--also", "all", "--show-settings"])
    assert problem in capsys.readouterr().err


def test_server_does_not_start_with_a_broken_file_in_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.toml").write_text('environment = "metric_tracker_rl"\nformat = 0\n')
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["--show-settings"])
    assert "broken.toml: format is 0" in capsys.readouterr().err


def test_episode_of_another_product_of_the_same_name_is_refused_with_both_digests(
    tmp_path: Path,
) -> None:
    served_product = register_product_file(write_example_product(tmp_path / "shop.toml"))
    reply = start_session(ENVIRONMENT, {"product": "shop"}).reset_reply
    observation = observation_from_reply(reply)
    require_expected_product(ENVIRONMENT, served_product.digest, observation)
    with pytest.raises(ConfigurationError, match=f"{served_product.digest}.*expected.*{'0' * 64}"):
        require_expected_product(ENVIRONMENT, "0" * 64, observation)


@pytest.mark.slow
def test_every_worker_has_the_products_of_the_command(product_file: Path) -> None:
    with served("--product", str(product_file), "--workers", "2") as url:
        for number in range(8):  # a new connection each time, so that both workers get some
            with talking(url) as conversation:
                reset = {"product": "shop", "split": "test", "index": number}
                observation = conversation.send("reset", reset)["observation"]
            assert observation["config"]["product"] == "shop", observation["message"]
