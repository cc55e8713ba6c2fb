"""The documentation builds without a warning and shows what the code says."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from built_docs import build
from PIL import Image

from docs.generate.examples import EXAMPLES, ExampleError, root_of
from docs.generate.hook import MARKER, SAMPLE, filled
from docs.generate.sections import PICTURES, SECTIONS, sample_arguments
from metric_tracker_rl.analysis_tools import TOOLS, catalogue
from metric_tracker_rl.engine.episode import build_episode
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.tasks import resolve_config
from openenv_kit.errors import UnknownNameError

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 200_000
"""Most that a worked case's picture weighs."""
MOST_WORDS = 2200


@pytest.mark.slow
def test_the_site_builds_without_a_warning(built_docs: tuple[Path, str]) -> None:
    assert "WARNING" not in built_docs[1]


@pytest.mark.slow
def test_every_page_is_in_the_navigation(built_docs: tuple[Path, str]) -> None:
    site, _ = built_docs
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    linked = set(re.findall(r'href="([\w-]+)/"', (site / "index.html").read_text()))
    assert pages - linked == set()


@pytest.mark.slow
def test_a_built_page_fetches_nothing_from_another_host(built_docs: tuple[Path, str]) -> None:
    site, _ = built_docs
    fetched = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(https?:)?//""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 8
    assert [page.name for page in pages if fetched.search(page.read_text())] == []
    assert fetched.search('<script async src="https://example.org/x.js">')


@pytest.mark.slow
def test_a_link_to_nowhere_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[gone](gone.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text()
    validation = settings[settings.index("\nvalidation:") :]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: broken\n{validation}")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert "gone.md" in done.stderr


@pytest.mark.slow
def test_tables_pictures_and_the_gallery_are_on_the_built_pages(
    built_docs: tuple[Path, str],
) -> None:
    site, _ = built_docs
    grading = (site / "grading" / "index.html").read_text()
    assert re.search(r"<code>recall</code></td>\s*<td[^>]*>0.60</td>", grading)
    for name in PICTURES:
        with Image.open(site / "assets" / name) as picture:
            assert picture.width > 500
    assert (site / "gallery" / SAMPLE[0] / "index.html").exists()
    left = [page.name for page in site.rglob("*.html") if MARKER.search(page.read_text())]
    assert left == []


def test_the_page_of_firewatch_is_short_with_its_incident_and_its_tools() -> None:
    page = filled((ROOT / "docs" / "firewatch.md").read_text())
    assert MARKER.search(page) is None
    assert "> declare_resolved\n" in page
    assert "`trace_dependencies`" in page
    assert len(page.split()) <= MOST_WORDS


def test_a_page_that_asks_for_an_unknown_section_is_told_which_there_are() -> None:
    with pytest.raises(UnknownNameError, match="thresholds"):
        filled("{{ treshholds }}")


def test_the_tool_reference_names_every_method_with_every_argument() -> None:
    reference = filled((ROOT / "docs" / "tools.md").read_text())
    chapters = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", reference, re.M | re.S))
    assert list(chapters) == list(TOOLS)
    for spec in catalogue(TOOLS):
        assert spec.description in chapters[spec.name]
        for argument in spec.parameters["properties"]:
            assert f"| `{argument}` |" in chapters[spec.name]


@pytest.mark.parametrize("name", list(TOOLS))
def test_the_arguments_shown_for_a_method_are_arguments_it_takes(name: str) -> None:
    (spec,) = [spec for spec in catalogue(TOOLS) if spec.name == name]
    _, config = resolve_config("medium_mixed_pair")
    result = TOOLS[name].call(EpisodeView(build_episode(config)), sample_arguments(spec))
    assert result


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_an_example_shows_the_rule_it_stands_under(name: str) -> None:
    example = EXAMPLES[name]
    _, root = root_of(example)
    assert (root.entity_type, root.entity_name) == example.entity
    assert root.date in SECTIONS[name]()


@pytest.mark.slow
def test_an_example_that_no_longer_shows_its_rule_is_an_error() -> None:
    moved = replace(EXAMPLES["traffic"], entity=("event_count", "payment_successful"))
    with pytest.raises(ExampleError, match="traffic"):
        root_of(moved)


def test_the_examples_cover_all_six_rules_of_the_policy() -> None:
    page = (ROOT / "docs" / "reporting-policy.md").read_text()
    rules = re.findall(r"^### Rule (\d)", page, re.M)
    assert sorted(set(rules)) == ["1", "2", "3", "4", "5", "6"]
    assert set(EXAMPLES) <= set(MARKER.findall(page))


ROW = re.compile(r"^\w+\s{3,}(?P<names>\w+(?:  \w+)*)(?:\s{3,}.+)?$", re.M)


def rows_of_the_picture() -> list[list[str]]:
    """Modules named in the architecture picture of CONTRIBUTING.md, row by row."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    picture = text.split("```text\n", 1)[1].split("```", 1)[0]
    return [row["names"].split() for row in ROW.finditer(picture)]


FOLDERS = (
    *("metric_tracker_rl", "metric_tracker_rl/engine", "metric_tracker_rl/engine/generation"),
    *("openenv_kit", "openenv_kit/play", ""),
)
"""Where the picture's modules are, the first one found."""


def home_of(name: str) -> Path | None:
    """File or folder of a module in the picture; None if there is none."""
    for folder in FOLDERS:
        path = ROOT / folder / name
        if path.is_dir():
            return path
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
    return None


@cache
def imports_of(name: str) -> set[str]:
    """Dotted paths of what a module, or any file of a package, imports, and of their folders."""
    home = home_of(name)
    assert home is not None
    found = set()
    for file in home.rglob("*.py") if home.is_dir() else [home]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = node.module.split(".")
                found |= {".".join(parts[: n + 1]) for n in range(len(parts))}
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_imported_by(name: str, other: str) -> bool:
    """Whether a module of the picture imports another one."""
    home = home_of(other)
    assert home is not None
    dotted = ".".join(home.relative_to(ROOT).with_suffix("").parts)
    return name != other and dotted in imports_of(name)


def test_the_architecture_picture_names_modules_that_exist() -> None:
    rows = rows_of_the_picture()
    assert len(rows) >= 12
    assert [name for row in rows for name in row if home_of(name) is None] == []
    assert home_of("no_such_module") is None


@pytest.mark.slow
def test_imports_point_upwards_in_the_architecture_picture() -> None:
    rows = rows_of_the_picture()
    height = {name: nth for nth, row in enumerate(rows) for name in row}
    assert {"reporting_policy", "session", "serving", "inference"} <= set(height)
    downward = {
        f"{name} imports {other}"
        for name, nth in height.items()
        for other in height
        if height[other] > nth and is_imported_by(name, other)
    }
    assert downward == set()


def test_an_import_that_points_down_would_be_seen() -> None:
    assert is_imported_by("session", "grader")
    assert not is_imported_by("grader", "session")
