"""Law 5: what an import costs; who only plays pays for no server, page or model."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from support.paths import ROOT

TRAINER_PACKAGES = ("trl", "verifiers", "inspect_ai", "nemo_gym", "skyrl_gym", "datasets", "torch")


HEAVY = ("openenv", "fastapi", "gradio", "plotly", "openai", "duckdb", "pandas")
"""The framework and its server, the page and its charts, models, and frames."""
LIGHT = (
    *("metric_tracker_rl", "metric_tracker_rl.environment"),
    *("drilldown_env", "drilldown_env.environment"),
    *("firewatch_env", "firewatch_env.environment"),
    *("openenv_kit.environment", "openenv_kit.session", "openenv_kit.rollouts.run_policy"),
    *("openenv_kit.trainers.tool_episode", "openenv_kit.trainers.trl"),
)
"""Environments, and adapters that play in process."""
CLIENTS = ("metric_tracker_rl.client", "firewatch_env.client")


def loaded(*codes: str) -> list[set[str]]:
    """Heavy packages that are loaded after each of these, run in turn in a process of its own."""
    seen = f"print(*(each for each in {HEAVY} if each in sys.modules))"
    program = "\n".join(["import sys", *(f"{code}\n{seen}" for code in codes)])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [set(line.split()) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_what_is_loaded_is_seen() -> None:
    assert loaded("import re", "import pandas") == [set(), {"pandas"}]


@pytest.mark.slow
def test_environments_and_adapters_in_process_load_nothing_heavy() -> None:
    after = loaded(*(f"import {module}" for module in LIGHT))
    assert dict(zip(LIGHT, after, strict=True)) == {name: set() for name in LIGHT}


@pytest.mark.slow
def test_episodes_in_process_load_no_server_page_or_model() -> None:
    names = ("drilldown", "firewatch", "metric_tracker_rl")
    after = loaded(
        *(
            "from openenv_kit.trainers.tool_episode import ToolEpisode\n"
            f"episode = ToolEpisode(environment={name!r})\n"
            "episode.reset({})\n"
            "print(episode.call_tool('no_such_tool', {}), file=sys.stderr)"
            for name in names
        )
    )
    # The funnel's frames come with the first analysis that needs them.
    assert all(each <= {"pandas"} for each in after)


@pytest.mark.slow
def test_the_clients_add_nothing_to_what_the_frameworks_own_client_loads() -> None:
    clients = f"import {', '.join(CLIENTS)}"
    frameworks, ours = loaded("import openenv.core.env_client", clients)
    assert ours == frameworks
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


@pytest.mark.slow
def test_the_engine_and_the_command_load_no_trainer():
    code = (
        "import sys, metric_tracker_rl.engine.session.episode_session\n"
        "import openenv_kit.rollouts.run_policy, openenv_kit.cli\n"
        f"print([name for name in {TRAINER_PACKAGES!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
