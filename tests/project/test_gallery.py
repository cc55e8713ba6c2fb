"""The gallery shows public tasks and names existing tools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate.gallery import gallery_part, pages
from docs.generate.gallery.funnels import FAMILIES, SPLIT
from docs.generate.gallery.gallery_part import GalleryPart
from docs.generate.gallery.pages import PAGES, iter_gallery_files
from docs.generate.gallery.trajectory import (
    MAX_ITEMS,
    MAX_LINE_CHARACTERS,
    CallAndResult,
    Trajectory,
    format_trajectory,
    shorten_value,
)
from docs.generate.hook import SAMPLE_PAGES
from metric_tracker_rl.engine.configuration.episode_config import SCENARIO_FAMILIES
from openenv_kit.recordings.format import read_runs

TOOL = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
NO_TOOLS = {"app_opens", "funnel_step", "conversion_rate"}
"""What a page sets as code besides tools."""


def tools_named(text: str) -> set[str]:
    return set(TOOL.findall(text)) - NO_TOOLS


@pytest.mark.parametrize("part", pages.GALLERY_PARTS, ids=lambda part: part.name)
def test_gallery_names_existing_tools(part: GalleryPart) -> None:
    for name, family in part.families.items():
        named = tools_named(family.solution)
        assert named, name
        assert named <= set(part.environment.tools.tool_names), name


def test_gallery_check_finds_a_missing_tool() -> None:
    assert tools_named("`rows_for_dat` of `app_opens`") == {"rows_for_dat"}


def test_every_family_has_a_text_and_a_page() -> None:
    assert set(FAMILIES) == set(SCENARIO_FAMILIES)
    assert len(PAGES) == sum(len(part.families) for part in pages.GALLERY_PARTS)


@pytest.mark.slow
def test_pages_lead_to_their_files_and_show_solved_tasks_that_anybody_may_see(
    tmp_path: Path,
) -> None:
    made = {
        Path(path).name: content
        for path, content in iter_gallery_files([PAGES[name] for name in SAMPLE_PAGES])
    }
    texts = {name: str(content) for name, content in made.items() if name.endswith(".md")}
    linked = set(re.findall(r"\]\(([\w-]+\.\w+)", "".join(texts.values())))
    assert set(made) == linked
    splits = set()
    for name in SAMPLE_PAGES:
        recording = tmp_path / f"{name}.jsonl"
        recording.write_text(str(made[recording.name]))
        runs = read_runs(recording)
        assert [run.score for run in runs] == pytest.approx([1.0] * len(runs), abs=0.05)
        splits |= {run.reset.get("split", "named") for run in runs}
        assert texts[f"{name}.md"].count("\n## Level ") == len(runs) > 0
    assert splits <= {"named", SPLIT}


def test_a_family_that_no_task_shows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    part = pages.GALLERY_PARTS[0]
    monkeypatch.setattr(type(part), "candidate_resets", lambda *_: iter(()))
    with pytest.raises(LookupError, match="funnel_break"):
        gallery_part.find_examples(part, "funnel_break")


def test_gallery_marks_omitted_parts_of_a_reply() -> None:
    assert shorten_value({"rows": list(range(20)), "left": None}) == (
        f"{{rows: [{', '.join(map(str, range(MAX_ITEMS)))}, … {20 - MAX_ITEMS} more], left: null}}"
    )
    assert shorten_value("x" * 500).endswith("…")
    assert shorten_value([[[[1, 2]]]]) == "[[[[… 2 items]]]]"
    assert shorten_value([[["whole"]]]) == "[[[whole]]]"


def test_calls_that_are_left_out_are_counted_and_equal_ones_are_one_line() -> None:
    look = [CallAndResult("look", {"at": place}, "seen", 10) for place in range(30)]
    wait = [CallAndResult("wait", {}, f"tick {tick}", 10) for tick in range(3)]
    text = format_trajectory(
        Trajectory([*look, *wait], 1.0, ""), lambda given: given.get("at") == 20
    )
    assert text.count("look(at=") == 6  # four at first, the one that matters, one before the last
    assert "… 16 calls left out: 16 × look" in text
    assert "31–33  wait()\n       → tick 2" in text
    short = format_trajectory(Trajectory(look[:5], 1.0, ""), lambda _: False)
    assert "left out" not in short


def test_a_long_query_keeps_its_end() -> None:
    call = CallAndResult("sql", {"query": f"WITH {'x ' * 400} SELECT moved"}, "", 10)
    text = format_trajectory(Trajectory([call], 1.0, ""), lambda _: True)
    assert "WITH x" in text
    assert " … " in text
    assert text.split("→")[0].rstrip().endswith("SELECT moved)")
    assert len(text) < MAX_LINE_CHARACTERS + 100


def test_gallery_states_the_length_of_a_cut_reply() -> None:
    call = CallAndResult("look", {}, {f"name_{n}": "x" * 60 for n in range(5)}, 4321)
    text = format_trajectory(Trajectory([call], 1.0, ""), lambda _: True)
    assert "[4,321 characters in all]" in text
    assert len(text) < MAX_LINE_CHARACTERS + 200
