"""The house's laws: who may import whom, how large a room may be, how long a step's way is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("openenv_kit", "metric_tracker_rl", "firewatch_env", "server", "benchmarks")
KIT = "openenv_kit"
ENVIRONMENTS = ("metric_tracker_rl", "firewatch_env")
MOST_LINES = 330
TRANSPORT = (
    *("fastapi", "starlette", "uvicorn", "httpx", "websockets", "http", "socket"),
    *("openenv", "gradio", "plotly", "openai", "openenv_kit.serving", "openenv_kit.page"),
)
UNFINISHED = {"cli", "page", "play", "trainers", "trust"}
"""Rooms of the kit that still import the first environment. The list only shrinks."""
TOO_LONG = {
    "metric_tracker_rl.analysis_tools.row_generators",
    "metric_tracker_rl.engine.session",
    "openenv_kit.page.visitor_gate",
}
"""Files that are still to be split. The list only shrinks."""
EDGES = ("models", "client", "environment", "page", "learning", "rubrics")
"""Rooms of an environment that face outwards; every other one is its engine."""


def modules(*packages: str) -> dict[str, Path]:
    """Every module of some packages, by dotted name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: str, package: str = "") -> Iterator[tuple[str, bool]]:
    """Every dotted name that a text imports, and whether it does so as it is loaded."""

    def walk(node: ast.AST, at_load: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
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

    yield from walk(ast.parse(source), True)


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


def debts() -> set[str]:
    """Modules of the kit that still know an environment."""
    forbidden = (*ENVIRONMENTS, "server", "benchmarks")
    return {name for name, path in modules(KIT).items() if offences(path.read_text(), forbidden)}


def test_the_kit_imports_no_environment_but_in_rooms_that_are_still_to_be_emptied() -> None:
    rooms = {name.split(".")[1] for name in debts()}
    assert rooms <= UNFINISHED
    assert rooms >= UNFINISHED, "a room is done: strike it from the list"


def test_an_import_of_an_environment_is_seen_in_every_form() -> None:
    for text in (
        "import metric_tracker_rl.engine.session",
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


@pytest.mark.parametrize("name", engine_modules())
def test_no_engine_imports_a_transport_a_framework_or_a_model(name: str) -> None:
    assert offences(engine_modules()[name].read_text(), TRANSPORT) == []


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


def test_a_file_fits_a_reader() -> None:
    lengths = {name: len(p.read_text().splitlines()) for name, p in modules(*PACKAGES).items()}
    assert {name for name, lines in lengths.items() if lines > MOST_LINES} == TOO_LONG
