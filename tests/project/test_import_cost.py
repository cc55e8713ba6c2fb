"""Imports load no server, page or model where none is needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest

from support.paths import ROOT

FRAMEWORKS = {"openenv", "gradio", "fastapi", "openai", "uvicorn", "plotly"}


def loaded_by(code: str) -> set[str]:
    """Names of all modules that are loaded after running code in a fresh process."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(run.stdout))


def top_level(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


WITHOUT_FRAMEWORK = (
    "import metric_tracker_rl.policies, openenv_kit.rollouts.run_policy",
    "import metric_tracker_rl.engine.certification.certificate, openenv_kit.recordings.format",
    "from metric_tracker_rl import TASKS, get_task_spec, available_analysis_methods",
    "from metric_tracker_rl.engine.session.episode_session import EpisodeSession\n"
    "EpisodeSession().reset()",
    "import openenv_kit.cli",
    "import openenv_kit.agent.main",
)


LOADED = """
import sys
from server.app import app
rooms = ("openenv_kit.page.", "metric_tracker_rl.page", "drilldown_env.page", "firewatch_env.page")
print(sorted(name for name in sys.modules if name.startswith(rooms)), "plotly" in sys.modules)
"""


TRAINER_PACKAGES = ("trl", "verifiers", "inspect_ai", "nemo_gym", "skyrl_gym", "datasets", "torch")


HEAVY = ("openenv", "fastapi", "gradio", "plotly", "openai", "duckdb", "holidays", "pandas")
"""The framework and its server, the page and its charts, models, and frames."""
LIGHT = (
    *("metric_tracker_rl", "metric_tracker_rl.environment"),
    *("drilldown_env", "drilldown_env.environment"),
    *("firewatch_env", "firewatch_env.environment"),
    *("openenv_kit.environment", "openenv_kit.session", "openenv_kit.rollouts.run_policy"),
    *("openenv_kit.trainers.tool_episode", "openenv_kit.trainers.trl"),
    "openenv_kit.own_data.clean_table",
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
def test_import_check_finds_a_loaded_package() -> None:
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


@pytest.mark.slow
def test_the_server_loads_nothing_of_the_page_when_the_page_is_off() -> None:
    environ = {k: v for k, v in os.environ.items() if k != "ENABLE_WEB_INTERFACE"}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[] False"


def test_importing_the_package_loads_nothing_else() -> None:
    modules = loaded_by("import metric_tracker_rl")
    assert {name for name in modules if name.startswith("metric_tracker_rl.")} == set()
    assert not top_level(modules) & {*FRAMEWORKS, "pandas", "numpy", "pydantic"}


@pytest.mark.slow
def test_the_engine_loads_no_framework() -> None:
    """All of it in one process: what any of them loads is loaded at the end."""
    assert not top_level(loaded_by("\n".join(WITHOUT_FRAMEWORK))) & FRAMEWORKS


@pytest.mark.slow
def test_the_check_of_what_is_loaded_notices_a_framework() -> None:
    assert "uvicorn" in top_level(
        loaded_by("import metric_tracker_rl.engine.session.episode_session, uvicorn")
    )
