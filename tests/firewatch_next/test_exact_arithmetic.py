"""The package computes with operations that give the same bits on every machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import firewatch_next

FOLDER = Path(firewatch_next.__file__).parent
UNSTABLE_MODULES = {"random", "time", "secrets", "uuid", "statistics"}
UNSTABLE_FUNCTIONS = {"exp", "log", "log2", "log10", "pow", "sin", "cos", "tanh", "fsum"}
UNSTABLE_FUNCTIONS |= {"now", "today", "utcnow"}  # of datetime, whose arithmetic is exact
# Integers, which every version of Python adds up alike.
COUNT_OF_PODS = re.compile(r"sum\(\(group\.pods for group in [\w.]+\)\)")


def find_unstable_operations(source: str) -> list[str]:
    """Return powers, float sums of the built-in `sum`, and unstable functions and modules."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            found.append(f"power in line {node.lineno}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            is_count = COUNT_OF_PODS.fullmatch(ast.unparse(node)) is not None
            if name in UNSTABLE_FUNCTIONS or (name == "sum" and not is_count):
                found.append(f"{name} in line {node.lineno}")
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names}
            modules |= {getattr(node, "module", None) or ""}
            found += [f"import of {name}" for name in sorted(modules & UNSTABLE_MODULES)]
    return found


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER))
)
def test_module_has_no_unstable_operation(path: Path) -> None:
    assert find_unstable_operations(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 2.0 ** y",
        "import random",
        "datetime.now()",
        "sum([0.1, 0.2])",
        "from math import log\nlog(2)",
    ],
)
def test_unstable_operation_is_found(source: str) -> None:
    assert find_unstable_operations(source)
