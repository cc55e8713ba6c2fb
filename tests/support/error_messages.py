"""Lists the error messages of a package, so that a change of wording shows in a review.

Write the committed lists again:

    (cd tests && uv run python -m support.error_messages)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT, TESTS

PACKAGES = ("openenv_kit", "metric_tracker_rl")
PLACEHOLDER = "{}"
FOLDER = TESTS / "project" / "error_messages"
MAKES_ERRORS = re.compile(r"error|exception|problem|refus|reject|issue|badparameter", re.IGNORECASE)
"""Names of classes and functions whose texts are error messages."""


def list_error_messages(package: str) -> str:
    """Return the messages of a package's errors: module, then one line for each message.

    Messages are read from the source: the texts in `raise` statements, in calls of functions that
    make errors, and in the bodies of such functions and classes. Each value appears as `{}`.
    """
    lines: list[str] = []
    for path in sorted((ROOT / package).rglob("*.py")):
        messages = list(dict.fromkeys(_iter_messages(ast.parse(path.read_text("utf-8")))))
        if messages:
            lines += [f"# {path.relative_to(ROOT).as_posix()}", *messages, ""]
    return "\n".join(lines)


def snapshot_path(package: str) -> Path:
    """Return the file that holds the list of a package."""
    return FOLDER / f"{package}.txt"


def _iter_messages(node: ast.AST, *, is_error: bool = False) -> Iterator[str]:
    """Yield the messages below a node, in the order of the source."""
    if is_error and (text := _text_of(node)) is not None:
        if " " in text.strip():
            yield " ".join(text.split())
        return
    for child in ast.iter_child_nodes(node):
        if not _is_docstring(child, node):
            yield from _iter_messages(child, is_error=is_error or _makes_error(child))


def _makes_error(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise):
        return True
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return bool(MAKES_ERRORS.search(node.name))
    return isinstance(node, ast.Call) and bool(MAKES_ERRORS.search(_name_of(node.func)))


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _text_of(node: ast.AST) -> str | None:
    """Return the text of a string or f-string, also where some are added; None of other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (
            PLACEHOLDER if isinstance(part, ast.FormattedValue) else part.value
            for part in node.values
            if isinstance(part, ast.FormattedValue | ast.Constant)
        )
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text_of(node.left), _text_of(node.right)
        if left is None and right is None:
            return None
        return "".join(PLACEHOLDER if text is None else text for text in (left, right))
    return None


def _is_docstring(child: ast.AST, parent: ast.AST) -> bool:
    """Return whether a statement is the docstring of a definition or an attribute."""
    return (
        isinstance(child, ast.Expr)
        and isinstance(child.value, ast.Constant)
        and not isinstance(parent, ast.Expr)
    )


def main() -> None:
    """Write the list of each package."""
    FOLDER.mkdir(exist_ok=True)
    for package in PACKAGES:
        snapshot_path(package).write_text(list_error_messages(package), encoding="utf-8")


if __name__ == "__main__":
    main()
