"""Architecture rules: imports, interfaces, file sizes and the path of a step."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv_kit.environment import (
    Environment,
    Reply,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.page import layout
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from openenv_kit.session import Session
from support.environment_members import members
from support.paths import ROOT
from support.server_requests import send_message

PACKAGES = (
    *("openenv_kit", "metric_tracker_rl", "drilldown_env", "firewatch_env", "server"),
    *("benchmarks", "research"),
)
KIT = "openenv_kit"
ENVIRONMENTS = ("metric_tracker_rl", "drilldown_env", "firewatch_env")
MOST_LINES = 380  # a file of far more than 300 lines usually holds two concepts
MOST_MEMBERS = 20
TRANSPORT = (
    *("fastapi", "starlette", "uvicorn", "httpx", "websockets", "http", "socket"),
    *("openenv", "gradio", "plotly", "openai", "openenv_kit.serving", "openenv_kit.page"),
)
EDGES = ("models", "client", "environment", "page", "rubrics", "commands")
"""Rooms of an environment that face outwards; every other one is its engine."""


def modules(*packages: str) -> dict[str, Path]:
    """Every module of some packages, by dotted name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports(source: str, package: str = "") -> list[tuple[str, bool]]:
    """Every dotted name that a text imports, and whether it does so as it is loaded."""

    called = "import_module(" in source or "__import__(" in source

    def walk(node: ast.AST, at_load: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and not called:
                continue
            if isinstance(child, ast.Import):
                yield from ((each.name, at_load) for each in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                yield base, at_load
                yield from ((f"{base}.{each.name}", at_load) for each in child.names)
            elif isinstance(child, ast.Call) and _is_import_call(child):
                yield str(child.args[0].value), False  # type: ignore[attr-defined]
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types(child)
            yield from walk(child, at_load and not later)

    return list(walk(ast.parse(source), True))


def _is_import_call(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    literal = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return name in ("import_module", "__import__") and literal


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in packages)


def offences(source: str, forbidden: tuple[str, ...]) -> list[str]:
    return sorted({name for name, _ in imports(source) if within(name, forbidden)})


def test_kit_imports_no_environment_and_no_server_module() -> None:
    forbidden = (*ENVIRONMENTS, "server", "benchmarks", "research")
    knowing = {name for name, path in modules(KIT).items() if offences(path.read_text(), forbidden)}
    assert knowing == set()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_imports_no_other_environment_server_or_benchmark(name: str) -> None:
    others = (each for each in ENVIRONMENTS if each != name)
    forbidden = (*others, "server", "benchmarks", "research")
    found = {each: offences(path.read_text(), forbidden) for each, path in modules(name).items()}
    assert {each: names for each, names in found.items() if names} == {}


NAMES = re.compile(r"metric_tracker_rl|metric ?tracker ?rl(?!_)|fire ?watch|drill[-_ ]?down", re.I)
"""What an environment is called; settings that begin with METRIC_TRACKER_ are another matter."""
DEFAULT = 'DEFAULT_ENVIRONMENT = "metric_tracker_rl"'
"""What is served where nobody names anything."""


def named_in(source: str) -> list[str]:
    """Lines that name an environment, in code, words or strings."""
    return [line.strip() for line in source.splitlines() if NAMES.search(line)]


def test_the_kit_names_no_environment() -> None:
    found = [line for path in modules(KIT).values() for line in named_in(path.read_text())]
    assert found == [DEFAULT]


def test_name_check_finds_names_in_code_comments_and_strings() -> None:
    for text in (
        "load('metric_tracker_rl')",
        '"""As in Metric Tracker RL."""',
        "x = 'Firewatch'",
        "# drill-down",
    ):
        assert named_in(text), text
    assert named_in('"MetricTrackerRl_TASK"') == []


def test_import_check_finds_every_form_of_import() -> None:
    for text in (
        "import metric_tracker_rl.engine.session.episode_session",
        "from metric_tracker_rl import TASKS",
        "from metric_tracker_rl.engine import session",
        "def late():\n    import metric_tracker_rl",
        "import importlib\nimportlib.import_module('metric_tracker_rl.tools')",
    ):
        assert offences(text, ENVIRONMENTS), text
    assert offences("import metric_tracker_rl_plus", ENVIRONMENTS) == []


def engine_modules() -> dict[str, Path]:
    present = tuple(name for name in ENVIRONMENTS if (ROOT / name).is_dir())
    return {
        name: path
        for name, path in modules(*present).items()
        if "." in name and name.split(".")[1] not in EDGES
    }


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_engine_imports_a_transport_a_framework_or_a_model(name: str) -> None:
    engine = {each: path for each, path in engine_modules().items() if within(each, (name,))}
    found = {each: offences(path.read_text(), TRANSPORT) for each, path in engine.items()}
    assert engine
    assert {each: names for each, names in found.items() if names} == {}


def test_no_module_is_part_of_a_cycle() -> None:
    known = modules(*PACKAGES)
    arrows = {
        name: {
            target
            for target, at_load in imports(path.read_text(), name)
            if at_load and target in known and target != name and not name.startswith(f"{target}.")
        }
        for name, path in known.items()
    }
    assert sum(map(len, arrows.values())) > 300, "imports are not being read"
    assert cycle(arrows) == []


def test_cycle_check_finds_a_cycle() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def cycle(arrows: dict[str, set[str]]) -> list[str]:
    """One cycle, or nothing."""
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(name: str) -> list[str]:
        state[name] = 1
        path.append(name)
        for target in sorted(arrows[name]):
            if state.get(target) == 1:
                return [*path[path.index(target) :], target]
            if target not in state and (found := visit(target)):
                return found
        state[name] = 2
        path.pop()
        return []

    for name in sorted(arrows):
        if name not in state and (found := visit(name)):
            return found
    return []


def test_environment_interface_has_few_members() -> None:
    assert {"name", "build_system_prompt", "create_session", "tools"} <= members(Environment), (
        "members are not seen"
    )
    assert len(members(Environment)) <= MOST_MEMBERS


def test_no_environment_has_a_public_member_that_the_kit_never_asks_for() -> None:
    for name in find_environment_entry_points():
        kind = type(get_environment(name))
        assert members(kind) <= members(Environment), name


def test_source_files_are_below_the_line_limit() -> None:
    lengths = {name: len(p.read_text().splitlines()) for name, p in modules(*PACKAGES).items()}
    assert {name for name, lines in lengths.items() if lines > MOST_LINES} == set()


def test_gradio_is_imported_by_the_page_only_and_plotly_nowhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("openenv_kit", "metric_tracker_rl", "drilldown_env", "firewatch_env")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(import|from) (gradio|plotly)", line)
    ]
    assert found
    assert [each for each in found if not each.startswith("openenv_kit/page/")] == []
    assert [each for each in found if "plotly" in each] == []


def test_the_page_is_one_script_and_defines_no_name_twice() -> None:
    script = "".join(each.read_text() for each in layout.SCRIPTS)
    names = re.findall(r"^(?:async )?(?:function|const|let) +(\w+)", script, re.MULTILINE)
    assert {"openTab", "selectDay"} <= set(names)
    assert [name for name, times in Counter(names).items() if times > 1] == []


@pytest.mark.parametrize("interface", ["http", "websocket"])
def test_served_step_is_called_by_the_live_episode_itself(
    interface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers: list[str] = []
    step = Session.step

    def noting_step(session: Session, action: Any) -> Reply:
        caller = sys._getframe(1)
        callers.append(f"{caller.f_globals['__name__']}.{caller.f_code.co_qualname}")
        return step(session, action)

    monkeypatch.setattr(Session, "step", noting_step)
    action = {"analysis_method": "list_dates"}
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        if interface == "http":
            episode_id = client.post("/reset", json={}).json()["episode_id"]
            client.post("/step", json={"episode_id": episode_id, "action": action})
        else:
            with client.websocket_connect("/ws") as socket:
                send_message(socket, "reset", {})
                send_message(socket, "step", action)
    assert callers == ["openenv_kit.serving.episodes.live_episode.LiveEpisode.step"]
