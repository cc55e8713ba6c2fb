"""The gallery shows tasks that anybody may see, names tools that there are, and stays small."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from docs.generate.charts import carried_digest, digest, save
from docs.generate.gallery import pages, rooms
from docs.generate.gallery.funnels import FAMILIES, SPLIT
from docs.generate.gallery.pages import FOLDER, INDEX, PAGES, SAMPLE, out_of_step
from docs.generate.gallery.rooms import Room
from docs.generate.gallery.trace import ITEMS, LONGEST, Call, Trace, shortened, trace_text
from metric_tracker_rl.drilldown.tasks import DEFAULT_SPLIT
from metric_tracker_rl.engine.config import SCENARIO_FAMILIES
from openenv_kit.play.recording import read_runs

MOST_BYTES = 3_000_000
"""Most that the whole gallery weighs."""
TOOL = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
NO_TOOLS = {"app_opens", "funnel_step", "conversion_rate", "drill_sql", "memory_limit_mb"}
"""What a page sets as code besides tools."""


def tools_named(text: str) -> set[str]:
    return set(TOOL.findall(text)) - NO_TOOLS


@pytest.mark.parametrize("room", pages.ROOMS, ids=lambda room: room.name)
def test_what_solves_a_family_is_tools_that_there_are(room: Room) -> None:
    for name, family in room.families.items():
        named = tools_named(family.way)
        assert named, name
        assert named <= set(room.environment.tools.names), name


def test_a_tool_that_there_is_not_would_be_seen() -> None:
    assert tools_named("`rows_for_dat` of `app_opens`") == {"rows_for_dat"}


def test_every_family_has_its_words_and_its_files() -> None:
    assert set(FAMILIES) == set(SCENARIO_FAMILIES)
    there = {path.name for path in FOLDER.iterdir()}
    assert there >= {INDEX, *(f"{name}.md" for name in PAGES), *(f"{name}.jsonl" for name in PAGES)}
    linked = set(re.findall(r"\]\(([\w-]+\.\w+)", "".join(p.read_text() for p in pages_there())))
    assert there == linked  # no picture of the past, and no page that leads nowhere


def pages_there() -> list[Path]:
    return sorted(FOLDER.glob("*.md"))


def test_it_shows_named_tasks_and_train_alone_and_solves_them_all() -> None:
    splits = set()
    for path in FOLDER.glob("*.jsonl"):
        runs = read_runs(path)
        assert [run.score for run in runs] == pytest.approx([1.0] * len(runs), abs=0.05)
        splits |= {run.reset.get("split", "named") for run in runs}
        page = path.with_suffix(".md").read_text()
        assert page.count("\n## Level ") == len(runs) > 0
    assert splits == {"named", SPLIT, DEFAULT_SPLIT}


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MOST_BYTES


@pytest.mark.slow
def test_a_page_that_was_edited_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "gallery"
    shutil.copytree(FOLDER, copied)
    sample = PAGES[SAMPLE[0]]
    monkeypatch.setattr(pages, "SAMPLE", SAMPLE[:1])
    assert out_of_step(copied) == {}
    page = copied / f"{sample.name}.md"
    text = page.read_text()
    page.write_text(text.replace("scores 1.00", "scores 0.99"))
    (copied / sample.recording_name).write_text("")
    stale = out_of_step(copied)
    assert {path.name for path in stale} == {page.name, sample.recording_name}
    for write in stale.values():
        write()
    assert page.read_text() == text


@pytest.mark.slow
def test_a_picture_that_was_just_written_is_in_step(tmp_path: Path) -> None:
    page, path = PAGES["funnel-funnel_break"], tmp_path / "drawn.png"
    draw = pages.exhibits(page)[1].exhibit.draw
    save(draw(), path)
    assert carried_digest(path) == digest(draw())


def test_a_page_of_other_versions_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "gallery"
    shutil.copytree(FOLDER, copied)
    monkeypatch.setattr(pages, "SAMPLE", ())
    assert out_of_step(copied) == {}
    old, gone = copied / "incident-killed.md", copied / "drill-mix_shift.md"
    old.write_text(re.sub(r"Made under tasks \d+", "Made under tasks 1", old.read_text()))
    gone.unlink()
    assert set(out_of_step(copied)) == {old, gone}


def test_a_family_that_no_task_shows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    room = pages.ROOMS[0]
    monkeypatch.setattr(type(room), "resets", lambda *_: iter(()))
    with pytest.raises(LookupError, match="funnel_break"):
        rooms.shown(room, "funnel_break", [])


def test_what_is_left_out_of_a_reply_is_told() -> None:
    assert shortened({"rows": list(range(20)), "left": None}) == (
        f"{{rows: [{', '.join(map(str, range(ITEMS)))}, … {20 - ITEMS} more], left: null}}"
    )
    assert shortened("x" * 500).endswith("…")
    assert shortened([[[[1, 2]]]]) == "[[[[… 2 items]]]]"
    assert shortened([[["whole"]]]) == "[[[whole]]]"


def test_calls_that_are_left_out_are_counted_and_equal_ones_are_one_line() -> None:
    look = [Call("look", {"at": place}, "seen", 10) for place in range(30)]
    wait = [Call("wait", {}, f"tick {tick}", 10) for tick in range(3)]
    text = trace_text(Trace([*look, *wait], 1.0, ""), lambda given: given.get("at") == 20)
    assert text.count("look(at=") == 6  # four at first, the one that matters, one before the last
    assert "… 16 calls left out: 16 × look" in text
    assert "31–33  wait()\n       → tick 2" in text
    short = trace_text(Trace(look[:5], 1.0, ""), lambda _: False)
    assert "left out" not in short


def test_a_long_query_keeps_its_end() -> None:
    call = Call("sql", {"query": f"WITH {'x ' * 400} SELECT moved"}, "", 10)
    text = trace_text(Trace([call], 1.0, ""), lambda _: True)
    assert "WITH x" in text
    assert " … " in text
    assert text.split("→")[0].rstrip().endswith("SELECT moved)")
    assert len(text) < LONGEST + 100


def test_a_long_reply_says_how_long_it_was() -> None:
    call = Call("look", {}, {f"name_{n}": "x" * 60 for n in range(5)}, 4321)
    text = trace_text(Trace([call], 1.0, ""), lambda _: True)
    assert "[4,321 characters in all]" in text
    assert len(text) < LONGEST + 200
