"""Imports between the funnel's folders follow the documented data flow."""

from __future__ import annotations

import ast
import re
from functools import cache

from support.paths import ROOT

FOLDER = re.compile(r"^(?P<path>\w+(?:/\w+)+) {2,}\S", re.M)


def folders_of_the_data_flow() -> list[str]:
    """Folders in the data-flow list of CONTRIBUTING.md, in its order."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    listing = text.split("## How the data flows", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    return [row["path"] for row in FOLDER.finditer(listing)]


@cache
def imports_of(folder: str) -> set[str]:
    """Dotted paths of the modules that the files of a folder import."""
    imported = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    return imported


def is_imported_by(folder: str, other: str) -> bool:
    """Whether a file of the first folder imports from the second one."""
    prefix = other.replace("/", ".") + "."
    return folder != other and any(name.startswith(prefix) for name in imports_of(folder))


def test_data_flow_lists_every_folder_of_the_funnel() -> None:
    listed = folders_of_the_data_flow()
    package = ROOT / "metric_tracker_rl"
    folders = [*(package / "engine").iterdir(), *package.iterdir()]
    expected = {
        str(folder.relative_to(ROOT))
        for folder in folders
        if (folder / "__init__.py").is_file() and folder.name not in ("engine", "commands")
    }
    assert set(listed) == expected


def test_imports_follow_the_data_flow() -> None:
    folders = folders_of_the_data_flow()
    wrong = [
        f"{folder} imports {later}"
        for place, folder in enumerate(folders)
        for later in folders[place + 1 :]
        if is_imported_by(folder, later)
    ]
    assert wrong == []


def test_data_flow_check_finds_an_upward_import() -> None:
    engine = "metric_tracker_rl/engine"
    assert is_imported_by(f"{engine}/session", f"{engine}/grading")
    assert not is_imported_by(f"{engine}/grading", f"{engine}/session")
