"""Every snippet of the Connect tab, taken from the page, runs against the server it names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import BrowserContext

from openenv_kit.environment import get_environment
from openenv_kit.page.tabs.connect import SNIPPETS, build_snippets
from openenv_kit.recordings.format import read_runs
from research.scripted_endpoint import MODEL, ScriptedEndpoint
from support.browser import PATIENCE_MS, browser  # noqa: F401
from support.live_server import served
from support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.browser]

TOKEN = "a-token-of-the-connect-test"
PREFIX = "/lab/env"


class ConnectedServer(NamedTuple):
    """A server, the snippets that its page shows, and the variables that they need."""

    url: str
    snippets: Mapping[str, str]
    variables: Mapping[str, str]


@pytest.fixture(
    scope="module",
    params=[
        ("", "", ""),
        (TOKEN, "", ""),
        ("", PREFIX, ""),
        (TOKEN, PREFIX, "/drilldown"),
    ],
    ids=["plain", "token", "prefix", "token-prefix-drilldown"],
)
def server(request: pytest.FixtureRequest, browser: BrowserContext) -> Iterator[ConnectedServer]:  # noqa: F811
    token, prefix, environment_path = request.param
    variables = {
        **{name: value for name, value in os.environ.items() if name != "OPENENV_KIT_TOKEN"},
        "ENABLE_WEB_INTERFACE": "true",
        "OPENENV_KIT_ROOT_PATH": prefix,
        "OPENENV_KIT_TOKEN": token,
        "OPENENV_KIT_EPISODE_STORE": "memory",
    }
    with served(env=variables) as url:
        browser.clear_cookies()  # a cookie of the server before would be sent to this one too
        page = browser.new_page()
        query = f"token={token}&tab=connect" if token else "tab=connect"
        page.goto(f"{url}{prefix}{environment_path}/web/?{query}")
        page.wait_for_selector(".mt-snippet code", timeout=PATIENCE_MS)
        page.wait_for_function(
            "url => document.querySelector('.mt-snippet code').textContent.includes(url)", arg=url
        )
        texts = {
            snippet.filename: page.locator(
                f"[id='mt-snippet-{snippet.filename}'] code"
            ).inner_text()
            for snippet in SNIPPETS
        }
        page.close()
        own = {"OPENENV_KIT_TOKEN": token} if token else {}
        yield ConnectedServer(f"{url}{prefix}{environment_path}", texts, own)


@pytest.fixture
def environment_name(server: ConnectedServer) -> str:
    return "drilldown" if server.url.endswith("/drilldown") else "metric_tracker_rl"


def run_program(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "OPENENV_KIT_TOKEN"}
    path = os.pathsep.join([str(ROOT), *filter(None, [environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def python_with(package: str) -> str:
    """Return a Python that can import a trainer's package; skip the test if there is none.

    Some trainers need an environment of their own, which `python -m research.check_integrations`
    creates. METRIC_TRACKER_INTEGRATIONS names its folder.
    """
    folder = Path(os.environ.get("METRIC_TRACKER_INTEGRATIONS", ROOT / ".integrations"))
    for python in (sys.executable, str(folder / package / "bin" / "python")):
        command = [python, "-c", f"import {package}"]
        with suppress(FileNotFoundError):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return python
    pytest.skip(f"{package} is not installed here, nor in {folder.name}/{package}")


def run_python(text: str, folder: Path, variables: Mapping[str, str]) -> str:
    (folder / "snippet.py").write_text(text)
    return run_program([sys.executable, "snippet.py"], folder, variables)


def test_token_lines_are_shown_only_if_the_server_asks_for_one(server: ConnectedServer) -> None:
    has_lines = any("OPENENV_KIT_TOKEN" in text for text in server.snippets.values())
    assert has_lines == bool(server.variables)
    assert all(server.url in text for text in server.snippets.values())
    assert TOKEN not in "".join(server.snippets.values())


def test_python_client_snippet_plays(
    server: ConnectedServer, tmp_path: Path, environment_name: str
) -> None:
    printed = run_python(server.snippets["python_client.py"], tmp_path, server.variables)
    tools = get_environment(environment_name).tools
    assert tools.tool_names[0] in printed
    assert '"status":"error"' not in printed


def test_inference_snippet_plays_and_records(
    server: ConnectedServer, tmp_path: Path, environment_name: str
) -> None:
    text = server.snippets["inference.sh"]
    text = text.replace("uv run python inference.py", f"{sys.executable} {ROOT}/inference.py")
    with ScriptedEndpoint("reference", environment_name) as endpoint:
        model = {"MODEL_NAME": MODEL, "API_BASE_URL": endpoint.base_url, "API_KEY": "none"}
        run_program(["bash", "-c", text], tmp_path, {**server.variables, **model})
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    assert [run.score for run in read_runs(path)] == [1.0]


def test_curl_snippet_resets_and_steps(server: ConnectedServer, tmp_path: Path) -> None:
    printed = run_program(["bash", "-ec", server.snippets["curl.sh"]], tmp_path, server.variables)
    decoder, replies, position = json.JSONDecoder(), [], 0
    while position < len(printed.rstrip()):
        reply, position = decoder.raw_decode(printed, position)
        replies.append(reply["observation"])
    assert len(replies) == 2
    assert all(reply["status"] != "error" for reply in replies)


LIST_TOOLS = """
import asyncio, json
from fastmcp import Client


async def main():
    async with Client(json.load(open("mcp.json"))) as client:
        print([tool.name for tool in await client.list_tools()])


asyncio.run(main())
"""


def test_mcp_snippet_lists_the_tools(
    server: ConnectedServer, tmp_path: Path, environment_name: str
) -> None:
    text = server.snippets["mcp.json"]
    for name, value in server.variables.items():  # clients replace variables
        text = text.replace(f"${name}", value)
    (tmp_path / "mcp.json").write_text(text)
    printed = run_python(LIST_TOOLS, tmp_path, {})
    tools = get_environment(environment_name).tools
    assert all(f"'{name}'" in printed for name in tools.tool_names[:2])


PLAYING_TRAINER = """
import functools
import sys

import trl

from openenv_kit.trainers.scripted_calls import get_next_scripted_call


class PlayingTrainer:
    \"\"\"Plays the first row with the reference policy, instead of loading a model.\"\"\"

    def __init__(self, **arguments):
        self._arguments = arguments

    def train(self):
        environment = self._arguments["environment_factory"]()
        first_message = environment.reset(**self._arguments["train_dataset"][0])
        results = []
        name = sys.argv[1]
        while call := get_next_scripted_call("reference", results, name, first_message):
            results.append(getattr(environment, call.name)(**call.arguments))
        print("reward", environment.get_reward())


trl.GRPOTrainer = PlayingTrainer
trl.GRPOConfig = functools.partial(trl.GRPOConfig, use_cpu=True, bf16=False)
"""
"""Comes before the snippet for TRL, so that neither a model nor a GPU is needed."""


def test_trl_snippet_trains_on_the_server(
    server: ConnectedServer, tmp_path: Path, environment_name: str
) -> None:
    python = python_with("trl")
    (tmp_path / "snippet.py").write_text(PLAYING_TRAINER + server.snippets["train_with_trl.py"])
    printed = run_program(
        [python, "snippet.py", environment_name],
        tmp_path,
        {**server.variables, "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"},
    )
    assert "reward 1.0" in printed
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    assert [run.score for run in read_runs(path)] == [1.0]


def test_verifiers_snippet_evaluates_on_the_server(
    server: ConnectedServer, tmp_path: Path, environment_name: str
) -> None:
    python = python_with("verifiers")
    (tmp_path / "snippet.py").write_text(server.snippets["evaluate_with_verifiers.py"])
    with ScriptedEndpoint("reference", environment_name) as endpoint:
        model = {"PRIME_INFERENCE_URL": endpoint.base_url, "PRIME_API_KEY": "none"}
        printed = run_program([python, "snippet.py"], tmp_path, {**server.variables, **model})
    assert "[1.0, 1.0]" in printed


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_snippets_name_the_environment_and_one_of_its_tasks(name: str) -> None:
    environment = get_environment(name)
    task = next(iter(environment.reset_arguments_by_task_id))
    texts = {
        snippet.filename: text
        for snippet, text in build_snippets(environment, has_token=True).items()
    }
    for filename, text in texts.items():
        assert name in text or filename == "curl.sh"
        assert "OPENENV_KIT_TOKEN" in text
        if filename.endswith(".py"):
            compile(text, filename, "exec")
    for filename in ("python_client.py", "inference.sh", "mcp.json", "curl.sh"):
        assert task in texts[filename]
