"""The map of a funnel episode without a browser: what is drawn when, and what it says."""

from __future__ import annotations

import dataclasses
import json
import re
from html import unescape
from typing import Any

import pytest
from test_web_visits import READABLE, contrast

from docs.generate.charts import carried_digest, digest
from docs.generate.share_card import PATH, share_card
from metric_tracker_rl.engine.candidates import candidates
from metric_tracker_rl.engine.episode import Episode
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.series import DailySeries
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.page.data import _day, _pick_cell
from metric_tracker_rl.page.drill.state import MetricVisitor
from metric_tracker_rl.page.hero import scene
from metric_tracker_rl.page.hero.heat import GLYPHS, NOT_TOLD
from metric_tracker_rl.page.hero.seen import Seen
from metric_tracker_rl.page.hero.verdicts import (
    ECHO,
    EXTRA,
    MATCHED,
    MISSING,
    WRONG,
    name_of,
    verdicts,
)
from metric_tracker_rl.page.report import score_html
from metric_tracker_rl.page.state import view_of
from openenv_kit.page.scenes import scenes_of
from openenv_kit.page.watching import scripted

TASK = "hard_mixed_multi"
GUIDED: dict[str, Any] = {"task_id": TASK}
RAW = {**GUIDED, "disclosure": "raw"}
LEAN = {**GUIDED, "profile": "lean"}
WEEKDAYS = {**GUIDED, "policy": "varied"}


def started(**reset: Any) -> MetricVisitor:
    visitor = MetricVisitor()
    visitor.start(**(reset or GUIDED))
    assert visitor.started, visitor.problem
    return visitor


def asked(visitor: MetricVisitor, *calls: tuple[str, dict[str, Any]]) -> MetricVisitor:
    for tool, arguments in calls:
        visitor.call(tool, arguments)
        assert not visitor.problem
    return visitor


def drawn(visitor: MetricVisitor) -> str:
    """All that shows what calls have told."""
    return "".join([*scene.own(visitor), _day(visitor)])


def cells(html: str) -> list[list[str]]:
    """Text of the map's cells, by line and day."""
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("<tr")[1:]]
    return [[re.sub("<[^>]*>", "", each) for each in row] for row in rows]


def texts(html: str) -> list[str]:
    """The same, one after the other."""
    return [text for row in cells(html) for text in row]


def calls_for(episode: Episode, profile: str, *, raw: bool) -> list[tuple[str, dict[str, Any]]]:
    """Calls of every tool that shows data."""
    one, two, three = ({"date": date} for date in episode.dates[5:8])
    if profile == "lean":
        dates = {"dates": list(episode.dates[3:6])}
        lean: list[tuple[str, dict[str, Any]]] = [("overview", {}), ("day", dates)]
        return [*lean, ("hours", dates), *([] if raw else [("scan", {})])]
    both: list[tuple[str, dict[str, Any]]] = [
        ("rows_for_date", one),
        ("hourly_rows_for_date", two),
        ("show_raw_data", {"limit": 3}),
        ("show_raw_data", {"limit": 48, "offset": 240, "granularity": "hourly"}),
        ("get_metric_median", {}),
    ]
    funnel = episode.config.funnel_spec
    guided: list[tuple[str, dict[str, Any]]] = [
        ("list_suspicious_dates", {"limit": 5}),
        ("compare_rate_to_median", {**three, "entity_name": funnel.rates[0]}),
        ("compare_count_to_median", {**three, "entity_name": funnel.counts[0]}),
        *(("detect_funnel_break", {"date": row.date}) for row in episode.expected_rows),
        *(("check_impossible_counts", {"date": row.date}) for row in episode.expected_rows),
        ("get_rows_with_abs_diff_from_median_gt", {"threshold": 5.0}),
        ("get_median_filter_rows", {"threshold_multiplier": 1.0}),
        ("get_hourly_traffic_mix_shift_rows", {"threshold_multiplier": 1.0}),
    ]
    return both if raw else [*both, *guided]


@pytest.mark.parametrize(
    "reset",
    [GUIDED, RAW, LEAN, {**LEAN, "disclosure": "raw"}, WEEKDAYS, {**WEEKDAYS, **LEAN}],
    ids=["guided", "raw", "lean", "raw lean", "varied", "varied lean"],
)
def test_what_calls_tell_is_read_and_never_wrong(reset: dict[str, Any]) -> None:
    visitor = started(**reset)
    series = visitor.view.episode.series
    asked(
        visitor,
        *calls_for(
            visitor.view.episode,
            str(reset.get("profile")),
            raw=reset.get("disclosure") == "raw",
        ),
    )
    seen = visitor.seen
    assert len(seen.values) > 30
    by_weekday = visitor.view.config.get("baseline") == "same_weekday_median"
    assert by_weekday is ("policy" in reset)
    for (day, column), value in seen.values.items():
        assert value == pytest.approx(series.rows[day][column], abs=2e-4), (day, column)
    known = {(d, c) for d, c in seen.values if seen.usual(d, c) is not None}
    assert {column for _, column in known} >= set(range(seen.share))
    for day, column in known:
        assert seen.usual(day, column) == series.baseline_rows[day][column], (day, column)
        assert seen.change(day, column) == pytest.approx(
            series.deviation_rows[day][column], abs=1e-4
        )


def test_nothing_is_drawn_before_a_call_and_what_the_visitor_typed_tells_nothing() -> None:
    visitor = started()
    rows = [row.as_dict() for row in visitor.view.episode.expected_rows]
    asked(
        visitor, ("preview_submission", {"rows": [*rows, {**rows[0], "severity": "huge"}, rows[0]]})
    )
    asked(visitor, ("list_dates", {}))
    assert set(texts(scene.own(visitor)[0])) == {""}
    assert scene.own(visitor)[1] == ""
    assert (visitor.seen.values, visitor.seen.suspicion) == ({}, {})


def on(episode: Episode, visitor: MetricVisitor) -> MetricVisitor:
    """A visitor in whose session another episode is played, under the same rules."""
    engine = visitor.session.engine  # type: ignore[attr-defined]
    reply = engine.open("other", EpisodeView(episode, visitor.view.rules))
    visitor.opening, visitor._seen = reply, None
    return visitor


def other_days(episode: Episode, told: list[int]) -> Episode:
    """Another episode that has the same counts on a few days."""
    hourly = episode.draw.hourly * 3
    hourly[told] = episode.draw.hourly[told]
    series = DailySeries(hourly, episode.config.funnel_spec, episode.config.level)
    return dataclasses.replace(
        episode,
        series=series,
        expected_rows=(),
        draw=dataclasses.replace(episode.draw, hourly=hourly),
    )


@pytest.mark.parametrize("reset", [GUIDED, RAW], ids=["guided", "raw"])
def test_two_episodes_that_answer_alike_are_drawn_alike(reset: dict[str, Any]) -> None:
    """Only days that were asked for are alike; the medians, the other days and the roots differ."""
    visitor = started(**reset)
    episode = visitor.view.episode
    told = [*(row.date for row in episode.expected_rows[:2]), episode.dates[1]]
    calls = [("rows_for_date", {"date": date}) for date in told]
    other = on(other_days(episode, [episode.day_of[date] for date in told]), started(**reset))
    assert other.view.episode.series.median_row != episode.series.median_row
    for day in (told[0], episode.dates[2]):
        pages = []
        for each in (visitor, other):
            each.day = day
            pages.append(drawn(asked(each, *calls)))
        assert pages[0] == pages[1]
    pages = [drawn(asked(v, ("get_metric_median", {}))) for v in (visitor, other)]
    assert pages[0] != pages[1], "nothing that is told is drawn"


def page_under(reset: dict[str, Any], higher: float) -> str:
    """What is drawn where all thresholds that the opening told are so many times as high."""
    visitor = started(**reset)
    config = dict(visitor.view.config)
    config["thresholds"] = {name: higher * n for name, n in config["thresholds"].items()}
    visitor._seen = Seen(config)
    return drawn(asked(visitor, *calls_for(visitor.view.episode, "standard", raw=True)))


def test_raw_play_is_drawn_the_same_under_any_thresholds() -> None:
    low, high = page_under(RAW, 1.0), page_under(RAW, 10.0)
    assert low == high
    assert "threshold" not in low
    assert set(cells(low)[-1]) == {""}, "impossible counts were looked for"
    low, high = page_under(GUIDED, 1.0), page_under(GUIDED, 10.0)
    assert low != high, "thresholds are drawn nowhere at all"
    assert "× threshold" in low


def reported(*rows: dict[str, Any], **reset: Any) -> MetricVisitor:
    visitor = started(**(reset or GUIDED))
    visitor.rows = list(rows)
    visitor.submit()
    return visitor


ROWS = [row.as_dict() for row in started().view.episode.expected_rows]


def test_each_row_is_matched_wrong_an_echo_extra_or_missing() -> None:
    episode = started().view.episode
    keys = {row.key for row in episode.expected_rows}
    echoes = [each.row for each in candidates(episode) if each.row.key not in keys]
    quiet = next(d for d in episode.dates if d not in {row.date for row in episode.expected_rows})
    extra = {**ROWS[0], "date": quiet}
    wrong = {**ROWS[1], "severity": "low" if ROWS[1]["severity"] != "low" else "high"}
    rows = [ROWS[0], wrong, *(each.as_dict() for each in echoes), extra, {"date": "x"}, ROWS[0]]
    found = verdicts(rows, episode)
    kinds = [each.kind for each in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        MATCHED: 1,
        WRONG: 1,
        ECHO: len(echoes),
        EXTRA: 1,
        MISSING: len(ROWS) - 2,
    }
    said = {each.kind: each.said for each in found}
    assert said[WRONG] == "Expected, but its severity is wrong."
    assert "within its threshold" in said[EXTRA]
    for each in found:
        if each.kind == ECHO:
            roots = {name_of(row) for row in episode.expected_rows if row.date == each.row.date}
            assert re.findall("^Echo of (.*): the root alone", each.said)[0] in roots


def test_an_echo_names_the_root_above_it_where_the_day_has_two() -> None:
    episode = started().view.episode
    date = ROWS[0]["date"]
    funnel = episode.config.funnel_spec
    (first,) = (row for row in episode.expected_rows if row.entity_name == "app_opens")
    later = dataclasses.replace(
        first, entity_type="funnel_step", entity_name=funnel.steps[2], anomaly_type="funnel_break"
    )
    both = dataclasses.replace(episode, expected_rows=(first, later))
    flagged = [each.row for each in candidates(episode) if each.row.date == first.date]
    told = {v.row.entity_name: v.said for v in verdicts([r.as_dict() for r in flagged], both)}
    assert "Echo of app opens" in told["menu_opens"]
    assert "Echo of orders placed from product" in told["payment_successful"]
    assert date in episode.dates


def test_after_grading_all_is_drawn_with_verdicts_in_the_map_the_table_and_the_day() -> None:
    wrong = {**ROWS[0], "severity": "low" if ROWS[0]["severity"] != "low" else "high"}
    visitor = reported(wrong, *ROWS[2:])
    map_html, small = scene.own(visitor)
    shown = cells(map_html)
    assert [len(row) for row in shown] == [28] * 13
    assert "" not in texts(map_html)
    assert NOT_TOLD not in map_html
    counted = [sum(GLYPHS[kind] in each for each in texts(map_html)) for kind in GLYPHS]
    assert dict(zip(GLYPHS, counted, strict=True)) == {
        **dict.fromkeys(GLYPHS, 0),
        MATCHED: len(ROWS) - 2,
        WRONG: 1,
        MISSING: 1,
    }
    assert small.count("<figure") == 12 + any("lte" in row["entity_name"] for row in ROWS)
    visitor.day = ROWS[1]["date"]
    for page in (map_html, _day(visitor), score_html(visitor)):
        assert "This row was expected and not reported." in unescape(page)


def test_before_the_end_a_row_of_the_report_is_marked_and_not_judged() -> None:
    visitor = started()
    visitor.rows = [ROWS[0], {"date": 3}]
    html = scene.own(visitor)[0]
    assert html.count("<i></i></td>") == html.count("In the report.") == 1
    assert ("Verdicts" in html, 'class="v-' in html) == (False, False)


def test_an_episode_that_tells_its_score_alone_keeps_its_answer() -> None:
    visitor = reported(feedback="score", **GUIDED)
    assert visitor.session.done
    assert set(texts(scene.own(visitor)[0])) == {""}
    assert "Verdicts" not in drawn(visitor)


def test_steps_that_ran_out_leave_every_row_missing() -> None:
    visitor = started(**GUIDED, max_steps=1)
    visitor.rows = list(ROWS)
    asked(visitor, ("list_dates", {}))
    assert "Verdicts" not in scene.own(visitor)[0]
    visitor.call("list_dates", {})
    kinds = {each.kind for each in scene.of_visitor(visitor)[1]}
    assert kinds == {MISSING}


@pytest.mark.parametrize("reset", [GUIDED, LEAN], ids=["standard", "lean"])
def test_a_watched_play_fills_the_map_and_ends_with_its_verdicts(reset: dict[str, Any]) -> None:
    playback = scripted(ENVIRONMENT.policies["reference"], reset)
    view, known = view_of(playback.session), []
    while not playback.finished:
        (html, *_) = scenes_of(ENVIRONMENT).show_board(playback)
        known.append(sum(each != "" for each in texts(html)))
        assert "Verdicts" not in html
        playback.advance()
    assert known[0] == 0
    assert known == sorted(known)
    (html, *_) = scenes_of(ENVIRONMENT).show_board(playback)
    counted = [each.count(GLYPHS[MATCHED]) for each in texts(html)]
    assert sum(counted) == len(view.episode.expected_rows)
    assert GLYPHS[MISSING] not in "".join(texts(html))


def test_a_click_on_a_cell_selects_its_day_and_of_a_count_its_stage() -> None:
    visitor = started()
    first, other = visitor.view.episode.dates[:2]
    for told, day, stage in (
        (f"{other}/2", other, "product_added_to_cart"),
        (f"{first}/9", first, "product_added_to_cart"),
        ("2001-01-01/0", first, "app_opens"),
        (None, first, "app_opens"),
        ("[]/-1", first, "app_opens"),
    ):
        _pick_cell(visitor, told)
        assert (visitor.day, visitor.stage) == (day, stage), told


def test_what_is_drawn_is_light_and_holds_no_markup_of_others() -> None:
    visitor = reported({**ROWS[0], "entity_name": "<img src=x>"}, ROWS[0])
    shown = drawn(visitor)
    assert "<img" not in shown
    assert len(json.dumps(shown)) < 150_000


COLOURS = re.compile(r"--([ud]\d): (#\w+); --\1-on: (#\w+)")


def test_every_cell_of_the_map_is_readable_in_both_themes() -> None:
    pairs = COLOURS.findall(scenes_of(ENVIRONMENT).asset("style.css"))
    assert len(pairs) == 2 * 8

    def channels(colour: str) -> list[int]:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
        return [int(digits[at : at + 2], 16) for at in (0, 2, 4)]

    pale = [each for each in pairs if contrast(*map(channels, each[1:])) < READABLE]
    assert pale == []


@pytest.mark.slow
def test_the_share_card_shows_what_is_drawn_today_and_is_small() -> None:
    assert carried_digest(PATH) == digest(share_card())
    assert PATH.stat().st_size < 200_000
