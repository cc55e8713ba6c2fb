"""The house's laws: who may import whom, how large a room may be, how long a step's way is."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.environment import Environment, find_environment_entry_points, get_environment
from openenv_kit.reply import observation_from_reply
from support.environment_members import members
from support.paths import ROOT

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


def test_the_kit_imports_no_environment_and_no_front_door() -> None:
    forbidden = (*ENVIRONMENTS, "server", "benchmarks", "research")
    knowing = {name for name, path in modules(KIT).items() if offences(path.read_text(), forbidden)}
    assert knowing == set()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_environment_imports_another_a_front_door_or_the_bench(name: str) -> None:
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


def test_a_name_is_seen_in_code_words_and_strings() -> None:
    for text in (
        "load('metric_tracker_rl')",
        '"""As in Metric Tracker RL."""',
        "x = 'Firewatch'",
        "# drill-down",
    ):
        assert named_in(text), text
    assert named_in('"MetricTrackerRl_TASK"') == []


def test_an_import_of_an_environment_is_seen_in_every_form() -> None:
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


def test_a_cycle_would_be_seen() -> None:
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


def test_an_environment_is_asked_for_few_things() -> None:
    assert {"name", "system_prompt", "create_session", "tools"} <= members(Environment), (
        "members are not seen"
    )
    assert len(members(Environment)) <= MOST_MEMBERS


def test_no_environment_has_a_public_member_that_the_kit_never_asks_for() -> None:
    for name in find_environment_entry_points():
        kind = type(get_environment(name))
        assert members(kind) <= members(Environment), name


def test_a_file_fits_a_reader() -> None:
    lengths = {name: len(p.read_text().splitlines()) for name, p in modules(*PACKAGES).items()}
    assert {name for name, lines in lengths.items() if lines > MOST_LINES} == set()


FUNCTION = ("name", "description", "parameters")
Prompt = tuple[str, str | None, list[dict[str, Any]]]
"""System prompt, first user message and tools, as a model gets them."""


def prompt_of_inference(server_url: str) -> Prompt:
    """What a local OpenAI-compatible endpoint is sent by a whole run of inference.py."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        import inference
        from support.fake_model import fake_model

        patch.chdir(folder)
        with fake_model() as model:
            patch.setenv("API_KEY", "none")
            patch.setenv("API_BASE_URL", model.url)
            patch.setenv("MODEL_NAME", "submits-then-goes-on")
            assert inference.main(["--base-url", server_url, "--tasks", "easy_single_spike"]) == 0
            request = model.requests[0]
    system, user = (message["content"] for message in request["messages"])
    return system, user, [tool["function"] for tool in request["tools"]]


def prompt_of_mcp(server_url: str) -> Prompt:
    """Tools and instructions over plain JSON-RPC; there, the reset stays with the trainer."""

    def ask(method: str) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
        return httpx.post(f"{server_url}/mcp", json=request).json()["result"]

    offered = [
        (each["name"], each["description"], each["inputSchema"])
        for each in ask("tools/list")["tools"]
    ]
    return ask("initialize")["instructions"], None, as_functions(offered)


def prompt_of_harness(_: str) -> Prompt:
    from openenv_kit.trainers.openenv_harness import ToolSessionFactory

    session = ToolSessionFactory().create("easy_single_spike")
    system, user = (message["content"] for message in session.initial_messages())
    offered = [(tool.name, tool.description, tool.input_schema) for tool in session.list_tools()]
    return system, user, as_functions(offered)


def prompt_of_trl(_: str) -> Prompt:
    """TRL's dataset, which brings the brief, needs a library; its check compares that."""
    from openenv_kit.trainers.trl import environment_class

    made = environment_class()()
    user = made.reset(task_id="easy_single_spike")
    offered = []
    for name in ENVIRONMENT.tools.for_episode().tool_names:
        taken = inspect.signature(getattr(made, name)).parameters.values()
        properties = {each.name: TypeAdapter(each.annotation).json_schema() for each in taken}
        required = [each.name for each in taken if each.default is each.empty]
        schema = {"type": "object", "properties": properties}
        description = getattr(made, name).__doc__.partition("\n")[0]
        offered.append(
            (name, description, {**schema, **({"required": required} if required else {})})
        )
    return ENVIRONMENT.system_prompt(), user, as_functions(offered)


def prompt_of_nemo_gym(_: str) -> Prompt:
    """The example data in this repository; the task is another one, so no user message."""
    path = ROOT / "examples" / "nemo_gym" / "metric_tracker" / "data" / "example.jsonl"
    given = json.loads(path.read_text().partition("\n")[0])["responses_create_params"]
    system, _user = (message["content"] for message in given["input"])
    return system, None, [{name: tool[name] for name in FUNCTION} for tool in given["tools"]]


def as_functions(offered: Iterable[tuple[str, str, Any]]) -> list[dict[str, Any]]:
    return [dict(zip(FUNCTION, each, strict=True)) for each in offered]


DOORS = (prompt_of_inference, prompt_of_mcp, prompt_of_harness, prompt_of_trl, prompt_of_nemo_gym)
"""verifiers, Inspect AI and SkyRL are held to the same in tests/integrations."""


@pytest.mark.parametrize("prompt_of", DOORS)
def test_every_door_gives_a_model_the_same_words_and_tools(
    prompt_of: Callable[[str], Prompt], server_url: str
) -> None:
    system, user, tools = prompt_of(server_url)
    opening = observation_from_reply(
        ENVIRONMENT.create_session().reset(task_id="easy_single_spike")
    )
    assert system == ENVIRONMENT.system_prompt(opening)
    assert user in (ENVIRONMENT.tools.first_user_message(opening), None)
    offered = ENVIRONMENT.tools.for_episode(opening)
    assert tools == [tool["function"] for tool in offered.chat_tools]
