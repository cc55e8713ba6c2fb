"""Law 5: what an import costs; who only plays pays for no server, page or model."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("openenv", "fastapi", "gradio", "plotly", "openai", "duckdb", "pandas")
"""The framework and its server, the page and its charts, models, and frames."""
LIGHT = (
    *("metric_tracker_rl", "metric_tracker_rl.environment"),
    *("drilldown_env", "drilldown_env.environment"),
    *("firewatch_env", "firewatch_env.environment"),
    *("openenv_kit.environment", "openenv_kit.session", "openenv_kit.play.vector"),
    *("openenv_kit.trainers.tool_calls", "openenv_kit.trainers.trl"),
)
"""Environments, and adapters that play in process."""
CLIENTS = ("metric_tracker_rl.client", "firewatch_env.client")


def loaded(code: str) -> set[str]:
    """Heavy packages that are loaded once a program has run, in a process of its own."""
    program = f"{code}\nimport sys\nprint(*(each for each in {HEAVY} if each in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.slow
def test_what_is_loaded_is_seen() -> None:
    assert loaded("import pandas") == {"pandas"}


@pytest.mark.slow
@pytest.mark.parametrize("module", LIGHT)
def test_an_environment_or_an_adapter_in_process_loads_nothing_heavy(module: str) -> None:
    assert loaded(f"import {module}") == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_an_episode_in_process_loads_no_server_page_or_model(name: str) -> None:
    code = (
        "from openenv_kit.trainers.tool_calls import ToolEpisode\n"
        f"episode = ToolEpisode(environment={name!r})\n"
        "episode.reset({})\n"
        "print(episode.call('no_such_tool', {}), file=__import__('sys').stderr)"
    )
    assert loaded(code) <= {"pandas"}  # the funnel's frames, with the first that needs them


@pytest.mark.slow
def test_the_clients_add_nothing_to_what_the_frameworks_own_client_loads() -> None:
    frameworks = loaded("import openenv.core.env_client")
    assert loaded(f"import {', '.join(CLIENTS)}") == frameworks
    assert "openai" not in frameworks


SHIPPED = ("openenv_kit", "metric_tracker_rl", "drilldown_env", "firewatch_env", "server")
IMPORTED_AS = {"python-dotenv": "dotenv", "pyyaml": "yaml"}


def test_every_dependency_is_imported_by_what_is_shipped_and_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split("[<>=~! ]", each)[0] for each in project["dependencies"]}
    paths = [path for folder in SHIPPED for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in paths)
    imported = set(re.findall(r"^ *(?:import|from) (\w+)", code, re.MULTILINE))
    assert len(wanted) > 10
    assert {n for n in wanted if IMPORTED_AS.get(n, n.replace("-", "_")) not in imported} == set()
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## What is installed")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \| \S", section.partition("\n## ")[0], re.M)) == wanted
