"""The documentation builds without a warning and agrees with the code."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from docs.generate.examples import EXAMPLES, ExampleError, find_root
from docs.generate.hook import MARKER, SAMPLE_PAGES, fill_page
from docs.generate.sections import PICTURES, SECTIONS, sample_arguments
from metric_tracker_rl.analysis_tools import TOOLS, build_method_specs
from metric_tracker_rl.engine.configuration.tasks import resolve_named_or_custom_task
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from openenv_kit.errors import UnknownNameError
from support.built_docs import build_site
from support.paths import ROOT

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
    done = build_site(tmp_path / "mkdocs.yml", tmp_path / "site")
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
    assert (site / "gallery" / SAMPLE_PAGES[0] / "index.html").exists()
    left = [page.name for page in site.rglob("*.html") if MARKER.search(page.read_text())]
    assert left == []


def test_the_page_of_firewatch_is_short_with_its_incident_and_its_tools() -> None:
    page = fill_page((ROOT / "docs" / "firewatch.md").read_text())
    assert MARKER.search(page) is None
    assert "> declare_resolved\n" in page
    assert "`trace_dependencies`" in page
    assert len(page.split()) <= MOST_WORDS


def test_unknown_page_section_lists_the_known_sections() -> None:
    with pytest.raises(UnknownNameError, match="thresholds"):
        fill_page("{{ treshholds }}")


def test_the_tool_reference_names_every_method_with_every_argument() -> None:
    reference = fill_page((ROOT / "docs" / "tools.md").read_text())
    chapters = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", reference, re.M | re.S))
    assert list(chapters) == list(TOOLS)
    for spec in build_method_specs(TOOLS):
        assert spec.description in chapters[spec.name]
        for argument in spec.parameters["properties"]:
            assert f"| `{argument}` |" in chapters[spec.name]


@pytest.mark.parametrize("name", list(TOOLS))
def test_the_arguments_shown_for_a_method_are_arguments_it_takes(name: str) -> None:
    (spec,) = [spec for spec in build_method_specs(TOOLS) if spec.name == name]
    _, config = resolve_named_or_custom_task("medium_mixed_pair")
    result = TOOLS[name].call(EpisodeView(build_episode(config)), sample_arguments(spec))
    assert result


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_example_shows_its_rule(name: str) -> None:
    example = EXAMPLES[name]
    _, root = find_root(example)
    assert (root.entity_type, root.entity_name) == example.entity
    assert root.date in SECTIONS[name]()


@pytest.mark.slow
def test_example_that_does_not_show_its_rule_is_an_error() -> None:
    moved = replace(EXAMPLES["traffic"], entity=("event_count", "payment_successful"))
    with pytest.raises(ExampleError, match="traffic"):
        find_root(moved)


def test_the_examples_cover_all_six_rules_of_the_policy() -> None:
    page = (ROOT / "docs" / "reporting-policy.md").read_text()
    rules = re.findall(r"^### Rule (\d)", page, re.M)
    assert sorted(set(rules)) == ["1", "2", "3", "4", "5", "6"]
    assert set(EXAMPLES) <= set(MARKER.findall(page))


def test_changelog_new_import_exists() -> None:
    page = (ROOT / "docs" / "changelog.md").read_text()
    new_names = re.findall(r"^\| `[\w.]+` \| `([\w.]+)` \|$", page, re.MULTILINE)
    assert len(new_names) > 40
    missing = [name for name in new_names if not is_defined(name)]
    assert missing == []


def is_defined(name: str) -> bool:
    """Whether a module's source defines or imports a name; nothing is imported, as trainers'
    libraries may be missing."""
    module, _, attribute = name.rpartition(".")
    path = ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return source.is_file() and re.search(rf"\b{attribute}\b", source.read_text()) is not None
