"""Metrics, logs, traces, alerts and diagnostics of a world."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from firewatch_next.actions.observe import observe
from firewatch_next.policies.parse_reply import parse_reply
from firewatch_next.simulation.log_event import LogLevel, Wording
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.simulation.world import World
from firewatch_next.stacks import STACKS
from firewatch_next.telemetry.alerts import Severity, list_alerts
from firewatch_next.telemetry.consequences import CallFailures
from firewatch_next.telemetry.limits import (
    MAX_HEADLINE_CHARACTERS,
    Table,
    build_reply,
    format_figure,
    join_figures,
)
from firewatch_next.telemetry.logs import fetch_newest_lines, find_lines
from firewatch_next.telemetry.noise import add_noise, draw_noise
from firewatch_next.telemetry.traces import TraceStatus, find_traces
from support.telemetry_views import (
    first_of_kind,
    view_of,
    world_with_bad_flag,
    world_with_effect,
)


def faulty_service(world: World) -> str:
    return first_of_kind(world, ServiceKind.APPLICATION).name


def pattern_of(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", template.replace("{{", "\0").replace("}}", "\1"))
    texts = (part.replace("\0", "{").replace("\1", "}") for part in parts)
    return re.compile(".+".join(re.escape(text) for text in texts))


# Noise.


def test_readings_agree_between_overlapping_windows() -> None:
    view = view_of(world_with_effect("busy"))
    service = faulty_service(view.world)
    readings: list[dict[float, float]] = []
    for window, points in ((60, 24), (30, 13), (15, 4)):
        arguments = {"service": service, "metrics": "latency_p95_ms", "window_minutes": window,
                     "points": points}  # fmt: skip
        series = parse_reply("query_metrics", observe(view, "query_metrics", arguments)).series[0]
        readings.append(dict(zip(series.minutes, series.values, strict=True)))
    assert set(readings[1]) & set(readings[2]) >= {0.0, 5.0, 10.0, 15.0}
    for first in readings:
        for second in readings:
            assert all(first[minute] == second[minute] for minute in set(first) & set(second))


def test_noise_belongs_to_the_key_and_the_tick() -> None:
    assert draw_noise("a", 3) == draw_noise("a", 3)
    assert draw_noise("a", 3) != draw_noise("a", 4)
    assert draw_noise("a", 3) != draw_noise("b", 3)
    assert draw_noise("a", -179) != draw_noise("a", 179)
    values = [draw_noise("mean", tick) for tick in range(-180, 820)]
    mean = sum(values) / len(values)
    assert abs(mean) < 0.15
    assert 0.85 < sum(value * value for value in values) / len(values) < 1.15


def test_noise_never_makes_a_reading_negative() -> None:
    assert all(add_noise(1.0, 2.0, "wide", tick) >= 0.0 for tick in range(50))


def test_metrics_of_two_tasks_have_different_noise() -> None:
    view = view_of(world_with_effect("busy"))
    service = faulty_service(view.world)
    other = replace(view, task_key="another task")
    assert view.newest("cpu_utilization", service) != other.newest("cpu_utilization", service)


# Limits.


def test_reply_within_the_limit_is_complete() -> None:
    assert build_reply("head", ["one", "two"], 50) == "head\none\ntwo"


@pytest.mark.parametrize("keeps_end", [False, True])
def test_reply_beyond_the_limit_names_the_lines_that_are_cut(keeps_end: bool) -> None:
    lines = [f"line {number:02d}" for number in range(30)]
    reply = build_reply("head", lines, 120, keeps_end=keeps_end, hint="ask for less")
    assert len(reply) <= 120
    kept = [line for line in reply.split("\n") if line.startswith("line")]
    assert kept == (lines[-len(kept) :] if keeps_end else lines[: len(kept)])
    assert f"… {30 - len(kept)} of 30 lines cut; ask for less" in reply.split("\n")


def test_first_line_has_whole_figures_and_at_most_100_characters() -> None:
    text = join_figures("start", [f"figure_{number} {number}" for number in range(40)])
    assert len(text) <= MAX_HEADLINE_CHARACTERS
    assert re.fullmatch(r"start( figure_\d+ \d+,)* figure_\d+ \d+ …", text)
    assert build_reply("x" * 300, [], 500) == "x" * 99 + "…"


def test_table_cells_are_separated_by_two_spaces_and_contain_none() -> None:
    lines = Table(("name", "value"), [("a  b", 1.5), ("", 1234.56)]).format_lines()
    assert [re.split(r" {2,}", line) for line in lines] == [
        ["name", "value"], ["a b", "1.5"], ["-", "1235"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.146, "ratio", ".1460"), (1.0, "ratio", "1.00"), (1.02, "ratio", "1.00"),
     (0.0, "ratio", ".0000"),
     (60.0, "count", "60"), (11.26, "ms", "11.3"), (0.123, "ms", "0.12"), (-3.0, "", "-3")],
)  # fmt: skip
def test_figures_are_written_short(value: float, unit: str, text: str) -> None:
    assert format_figure(value, unit) == text


# Logs.


def test_log_lines_agree_between_overlapping_windows() -> None:
    view = view_of(world_with_effect("busy"))
    service = faulty_service(view.world)
    long = find_lines(view, [service], "", LogLevel.WARN, -40, 400).entries
    short = find_lines(view, [service], "", LogLevel.WARN, -9, 400).entries
    assert len(short) > 20
    assert short == [entry for entry in long if entry.time > -10]
    assert long == sorted(long)
    later = view.world.fork()
    later.start_restart(service, 1)
    later.advance_to(6)
    again = find_lines(view_of(later), [service], "", LogLevel.WARN, -9, 4000).entries
    assert short == [entry for entry in again if entry.time <= 0]


def test_log_count_is_that_of_the_failing_calls() -> None:
    view = view_of(world_with_effect("unreachable store"))
    store = first_of_kind(view.world, ServiceKind.STORE)
    caller = view.world.callers[store.name][0]
    failures = CallFailures(view, caller, store.name, 0)
    assert failures.connection > 0.1
    found = find_lines(view, [caller], store.name, LogLevel.ERROR, 0, 40)
    assert sum(found.counts.values()) == pytest.approx(failures.calls * failures.connection)


CONSEQUENCES = [
    ("slow store", "call_timeout"),
    ("slow store", "slow_statement"),
    ("slow store", "queue_full"),
    ("unreachable store", "connect_failed"),
    ("busy", "request_failed"),
    ("busy", "pool_timeout"),
    ("unreachable store", "retrying"),
    ("slow store", "call_failed"),
]


@pytest.mark.parametrize("wording", list(Wording))
@pytest.mark.parametrize(("effect", "event"), CONSEQUENCES)
def test_consequences_are_logged_in_the_wording_of_the_task(
    effect: str, event: str, wording: Wording
) -> None:
    view = view_of(world_with_effect(effect), wording)
    services = list(view.world.services)
    lines = [e.text for e in find_lines(view, services, "", LogLevel.WARN, -3, 4000).entries]
    found: set[Wording] = set()
    for stack in {service.stack for service in view.world.ordered} & set(STACKS):
        if event not in STACKS[stack].messages:
            continue
        phrasings = STACKS[stack].messages[event]
        for other in Wording:
            patterns = [pattern_of(template) for template in phrasings.of_wording(other)]
            if stack == "envoy" or not any(p.search(line) for p in patterns for line in lines):
                continue
            found.add(other)
    assert found == {wording}


def test_killed_pods_are_logged_by_the_kubelet_and_calm_pods_log_no_failures() -> None:
    view = view_of(world_with_effect("memory"))
    service = faulty_service(view.world)
    killed = find_lines(view, [service], "137", None, -20, 40)
    assert sum(killed.counts.values()) >= 4
    assert all(entry.text.startswith("kubelet |") for entry in killed.entries)
    calm = view_of(world_with_effect("calm"))
    assert not find_lines(calm, [service], "503", LogLevel.WARN, -20, 40).entries


@pytest.mark.parametrize("wording", list(Wording))
def test_event_of_a_fault_has_one_phrasing_of_the_tasks_wording(wording: Wording) -> None:
    view = view_of(world_with_bad_flag(), wording)
    service = view.service(faulty_service(view.world))
    event = next(iter(view.world.history.log_records(service.name, -5, 0))).event
    phrasings = event.phrasings.get(service.stack) or event.phrasings["any"]
    entries = find_lines(view, [service.name], "", LogLevel.ERROR, -15, 400).entries
    texts = [entry.text.replace('\\"', '"') for entry in entries]
    used = [
        (other, template)
        for other in Wording
        for template in phrasings.of_wording(other)
        if any(pattern_of(template).search(text) for text in texts)
    ]
    assert [other for other, _ in used] == [wording]


def test_newest_lines_prefer_severe_ones_and_show_them_last() -> None:
    busy, calm = view_of(world_with_effect("busy")), view_of(world_with_effect("calm"))
    service = first_of_kind(busy.world, ServiceKind.APPLICATION).name
    store = first_of_kind(calm.world, ServiceKind.STORE).name
    severe = [e.text for e in find_lines(busy, [service], "", LogLevel.WARN, -19, 8).entries]
    assert fetch_newest_lines(busy, service, 8) == severe
    assert len(severe) == 8
    mild = fetch_newest_lines(calm, store, 8)
    rare = [e.text for e in find_lines(calm, [store], "", LogLevel.WARN, -19, 8).entries]
    assert len(rare) < len(mild) == 8
    assert mild[len(mild) - len(rare) :] == rare


# Traces and alerts.


def test_traces_of_failed_requests_end_at_the_service_that_fails() -> None:
    view = view_of(world_with_bad_flag())
    faulty = faulty_service(view.world)
    caller = view.world.callers[faulty][0]
    reply = find_traces(view, caller, TraceStatus.ERROR, 0.0, 3)
    spans = parse_reply("find_traces", reply).rows
    failed = [row for row in spans if row["status"] not in ("200", "timeout")]
    assert {row["trace"] for row in failed} == {0.0, 1.0, 2.0}
    for trace in range(3):
        deepest = [row for row in failed if row["trace"] == trace][-1]
        assert (deepest["service"], deepest["status"]) == (faulty, "500")


def test_traces_show_a_timeout_of_the_callers_length() -> None:
    view = view_of(world_with_effect("slow store"))
    store = first_of_kind(view.world, ServiceKind.STORE).name
    caller = view.world.callers[store][0]
    timeout = 1000.0 * view.service(caller).client_of(store).timeout_seconds
    reply = find_traces(view, caller, TraceStatus.ERROR, timeout, 3)
    late = [row for row in parse_reply("find_traces", reply).rows if row["status"] == "timeout"]
    assert late
    assert [row["milliseconds"] for row in late] == pytest.approx([timeout] * len(late), rel=0.01)


def test_no_trace_matches_a_failure_of_a_healthy_service() -> None:
    view = view_of(world_with_effect("calm"))
    reply = find_traces(view, view.world.entries[0].name, TraceStatus.ERROR, 0.0, 3)
    assert "no sampled request" in reply


@pytest.mark.parametrize("effect", ["calm", "memory"])
def test_values_below_their_thresholds_raise_no_alert(effect: str) -> None:
    assert list_alerts(view_of(world_with_effect(effect))) == []


def test_alerts_page_for_customers_first_and_name_value_and_threshold() -> None:
    view = view_of(world_with_effect("busy"))
    alerts = list_alerts(view)
    assert [list(Severity).index(a.severity) for a in alerts] == sorted(
        list(Severity).index(a.severity) for a in alerts
    )
    assert alerts[0].severity is Severity.PAGE
    assert alerts[0].service_name in {service.name for service in view.world.entries}
    assert len({alert.alert_id for alert in alerts}) == len(alerts)
    for alert in alerts:
        assert alert.metric_value >= alert.threshold_value
        assert -20 <= alert.fired_at_tick <= 0
        assert alert.service_name in alert.description


@pytest.mark.parametrize("wording", list(Wording))
def test_alerts_use_the_wording_of_the_task(wording: Wording) -> None:
    world = world_with_effect("busy")
    descriptions = {w: {a.description for a in list_alerts(view_of(world, w))} for w in Wording}
    others = set().union(*(descriptions[w] for w in Wording if w is not wording))
    assert descriptions[wording]
    assert not descriptions[wording] & others
