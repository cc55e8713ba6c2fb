"""The tools that observe: arguments, limits of replies, and what replies must not contain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from firewatch_next.actions.observe import OBSERVE_TOOLS, ChangeFilter, GroupBy, observe
from firewatch_next.changes.change import Change, ChangeKind, Migration, UndoEffect
from firewatch_next.faults.registry import fault_types
from firewatch_next.policies.parse_reply import parse_reply
from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.metrics import METRICS, Label
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.simulation.things import RecordSet
from firewatch_next.simulation.world import World
from firewatch_next.stacks import STACKS
from firewatch_next.telemetry.alerts import format_alerts, list_alerts
from firewatch_next.telemetry.diagnostics import DiagnosticKind
from firewatch_next.telemetry.limits import LEAN_MAX_CHARACTERS, MAX_CHARACTERS
from firewatch_next.telemetry.traces import TraceStatus
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.errors import ToolArgumentError
from support.telemetry_views import (
    EFFECTS,
    first_of_kind,
    view_of,
    world_with_bad_flag,
    world_with_effect,
)

# These fault types are named by everyday words of operations, which settings and columns use too.
EVERYDAY_WORDS = {"certificate", "rate_limit", "permission"}


def world_with_changes() -> World:
    """Return a world with a change every ten minutes, and one of the future."""
    world = world_with_effect("calm").fork()
    assert world.tick == 0
    for number, service in enumerate(world.ordered):
        world.changes.append(
            Change(
                f"CHG-{4400 + number}",
                -20 * number,
                service.name,
                ChangeKind.DEPLOY,
                f"Release of {service.name}",
                "Routine release",
                "m.okafor",
                "1.2.0",
                "1.3.0",
                Migration.EXPAND,
                UndoEffect.REOPENS_BUG,
            )
        )
    world.changes.append(
        Change("CHG-9999", 5, world.ordered[0].name, ChangeKind.FLAG, "later", "", "k.lund", "", "")
    )
    return world


def every_call(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls of every tool for two services, with large and small replies."""
    services = [first_of_kind(world, k) for k in (ServiceKind.APPLICATION, ServiceKind.STORE)]
    for service in (service.name for service in services):
        for metric in METRICS:
            yield "query_metrics", {"service": service, "metrics": metric, "points": 24}
        for label in Label:
            metrics = [name for name, metric in METRICS.items() if label in metric.labels][:4]
            yield "query_metrics", {"service": service, "metrics": metrics, "group_by": label.value,
                                    "window_minutes": 90, "points": 24}  # fmt: skip
        yield "search_logs", {"service": service, "limit": 40, "window_minutes": 20}
        yield "search_logs", {"service": service, "level": "ERROR", "query": "503"}
        for status in TraceStatus:
            yield "find_traces", {"service": service, "status": status.value, "limit": 3}
        for kind in DiagnosticKind:
            yield "run_diagnostic", {"service": service, "kind": kind.value}
        yield "show_service_map", {"service": service}
        yield "list_changes", {"service": service}
    yield "show_service_map", {}
    yield "list_changes", {}
    yield "search_logs", {"service": "*", "limit": 40, "window_minutes": 3}
    yield "query_metrics", {"service": "*", "metrics": "error_ratio,latency_p99_ms", "points": 24}


WORLDS = [*EFFECTS, "bad flag", "changes"]


def world_named(name: str) -> World:
    if name == "bad flag":
        return world_with_bad_flag()
    return world_with_changes() if name == "changes" else world_with_effect(name)


def every_reply(view: TelemetryView) -> Iterator[str]:
    for name, arguments in every_call(view.world):
        yield observe(view, name, arguments)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        *((name, MAX_CHARACTERS) for name in WORLDS),
        ("busy", LEAN_MAX_CHARACTERS),
        ("changes", LEAN_MAX_CHARACTERS),
    ],
)
def test_replies_keep_their_limits(name: str, limit: int) -> None:
    view = view_of(world_named(name), max_characters=limit)
    cut = 0
    for reply in every_reply(view):
        first, *others = reply.split("\n")
        assert len(reply) <= limit
        assert 0 < len(first) <= 100
        cut += any(line.startswith("… ") and " lines cut; " in line for line in others)
    assert cut


def forbidden_words() -> set[str]:
    words = {*(set(fault_types()) - EVERYDAY_WORDS), "root_cause", "fault"}
    return words | {word.replace("_", " ") for word in words}


def find_forbidden_words(text: str) -> set[str]:
    """Return the forbidden words at the start of words: "default" is allowed, "faulty" is not."""
    return {word for word in forbidden_words() if re.search(rf"(?<![a-z]){word}", text.lower())}


def test_no_template_names_a_fault_type_or_a_root_cause() -> None:
    events = [event for fault_type in fault_types().values() for event in fault_type.log_events]
    phrasings = [found for event in events for found in event.phrasings.values()]
    phrasings += [found for stack in STACKS.values() for found in stack.messages.values()]
    templates = [line.template for stack in STACKS.values() for line in stack.ordinary]
    templates += [text for p in phrasings for text in (*p.open, p.test, p.sealed)]
    assert len(templates) > 300
    for template in templates:
        assert not find_forbidden_words(template), template


@pytest.mark.parametrize(
    ("name", "wording"),
    [
        *((name, Wording.OPEN) for name in WORLDS),
        ("busy", Wording.TEST),
        ("busy", Wording.SEALED),
        ("bad flag", Wording.TEST),
        ("bad flag", Wording.SEALED),
    ],
)
def test_no_reply_names_a_fault_type_or_a_root_cause(name: str, wording: Wording) -> None:
    view = view_of(world_named(name), wording)
    texts = [*every_reply(view), *format_alerts(list_alerts(view))]
    assert len(texts) > 100
    for text in texts:
        assert not find_forbidden_words(text), text


def test_change_log_shows_neither_the_effect_of_undoing_nor_future_changes() -> None:
    view = view_of(world_with_changes())
    service = view.world.ordered[0].name
    reply = observe(view, "list_changes", {"service": service})
    rows = parse_reply("list_changes", reply).rows
    assert [row["id"] for row in rows] == ["CHG-4400"]
    assert rows[0]["minutes_ago"] == 0.0
    assert (rows[0]["before"], rows[0]["after"], rows[0]["migration"]) == (
        "1.2.0", "1.3.0", "expand",
    )  # fmt: skip
    assert "reopens" not in reply
    assert "CHG-9999" not in observe(view, "list_changes", {})


def test_change_log_keeps_to_kind_and_window() -> None:
    view = view_of(world_with_changes(), max_characters=10_000)
    rows = parse_reply("list_changes", observe(view, "list_changes", {"window_minutes": 25})).rows
    assert [row["id"] for row in rows] == ["CHG-4402", "CHG-4401", "CHG-4400"]
    assert "no flag" in observe(view, "list_changes", {"kind": "flag"})


def test_metric_reply_has_points_of_the_window_and_the_largest_series_first() -> None:
    view = view_of(world_with_bad_flag())
    arguments = {"service": "*", "metrics": "error_ratio", "window_minutes": 20, "points": 5}
    reply = observe(view, "query_metrics", arguments)
    series = parse_reply("query_metrics", reply).series
    assert series[0].labels == {"service": first_of_kind(view.world, ServiceKind.APPLICATION).name}
    assert series[0].minutes == (20.0, 15.0, 10.0, 5.0, 0.0)
    newest = [one.values[-1] for one in series]
    assert newest == sorted(newest, reverse=True)
    assert len(series) == len(view.world.services)
    assert f" {newest[0]:.4f}".replace(" 0", " ") in reply.split("\n")[0]


def test_pool_size_over_time_shows_the_minute_of_a_change() -> None:
    world = world_with_effect("calm").fork()
    caller = next(s for s in world.ordered if any(c.pool_size for c in s.clients))
    client = next(client for client in caller.clients if client.pool_size)
    before = client.pool_size
    client.pool_size = before + 7
    world.wake(caller.name)
    world.advance_to(4)
    arguments = {"service": caller.name, "metrics": "pool_size", "window_minutes": 4, "points": 9}
    reply = observe(view_of(world), "query_metrics", arguments)
    series = parse_reply("query_metrics", reply).find_series("pool_size", callee=client.callee)[0]
    assert series.values == (before,) * 5 + (before + 7,) * 4


def test_flags_show_the_failed_share_with_and_without_every_flag() -> None:
    view = view_of(world_with_bad_flag())
    service = first_of_kind(view.world, ServiceKind.APPLICATION)
    reply = observe(view, "run_diagnostic", {"service": service.name, "kind": "flags"})
    rows = parse_reply("run_diagnostic", reply).rows
    assert [row["flag"] for row in rows] == list(service.flags)
    bad, *others = rows
    assert float(bad["error_ratio_with"]) > 0.2 > 0.01 > float(bad["error_ratio_without"])
    for row in others:
        assert float(row["error_ratio_with"]) < 1.4 * float(row["error_ratio_without"])


def test_heap_and_connections_show_every_flag() -> None:
    world = world_with_effect("calm").fork()
    service = next(s for s in world.ordered if s.flags and any(c.pool_size for c in s.clients))
    leaking = list(service.flags.values())[-1]
    leaking.leaked_bytes = 0.3 * service.memory_limit_bytes * len(service.pods)
    leaking.leaked_connections = 40.0
    callee = next(client.callee for client in service.clients if client.pool_size)
    for pod in service.pods:
        pod.leaked_connections = {callee: 41.0 / len(service.pods)}
    view = view_of(world)
    for kind, column in (("heap", "bytes_with"), ("connections", "idle_with")):
        reply = observe(view, "run_diagnostic", {"service": service.name, "kind": kind})
        rows = [row for row in parse_reply("run_diagnostic", reply).rows if "flag" in row]
        assert [row["flag"] for row in rows] == list(service.flags)
        assert max(rows, key=lambda row: float(row[column]))["flag"] == leaking.name
    size = len(service.pods) * service.client_of(callee).pool_size
    assert rows[-1]["idle_with"] == pytest.approx(40.0 / size, abs=0.0001)
    assert rows[-1]["idle_without"] == pytest.approx(1.0 / size, abs=0.0001)


def test_records_are_shown_by_layout_and_writer_also_for_a_service_that_reads_them() -> None:
    world = world_with_effect("calm").fork()
    store = first_of_kind(world, ServiceKind.STORE)
    store.records = [RecordSet("v2", "other-api 2.0.1", 0.2), RecordSet("v1", "own-api 1.4.0", 0.8)]
    reader = world.callers[store.name][0]
    reply = observe(view_of(world), "run_diagnostic", {"service": reader, "kind": "records"})
    rows = parse_reply("run_diagnostic", reply).rows
    own = [(r["store"], r["layout"], r["writer"], r["share"]) for r in rows]
    assert [row for row in own if row[0] == store.name] == [
        (store.name, "v1", "own-api 1.4.0", 0.8), (store.name, "v2", "other-api 2.0.1", 0.2),
    ]  # fmt: skip


WRONG_ARGUMENTS = [
    ("query_metrics", {"service": "{0}x", "metrics": "error_ratio"}, ["'{0}x'", "mean '{0}'"]),
    ("query_metrics", {"service": "{0}", "metrics": "eror_ratio"}, ["'eror_ratio'", "error_ratio"]),
    ("query_metrics", {"service": "{0}", "metrics": ["gc_share"] * 5}, ["metrics", "4"]),
    ("query_metrics", {"service": "{0}", "metrics": []}, ["metrics"]),
    ("query_metrics", {"service": "{0}"}, ["metrics"]),
    ("query_metrics", {"service": "{0}", "metrics": "gc_share", "group_by": "pod"},
     ["gc_share", "'pod'", "no label"]),
    ("query_metrics", {"service": "{0}", "metrics": "gc_share", "group_by": "pdo"}, ["'pod'"]),
    ("query_metrics", {"service": "{0}", "metrics": "gc_share", "points": 25}, ["25", "24"]),
    ("query_metrics", {"service": "{0}", "metrics": "gc_share", "window_minutes": 91}, ["90"]),
    ("query_metrics", {"service": "mobile*", "metrics": "gc_share"}, ["'mobile*'"]),
    ("search_logs", {"service": "zz*"}, ["'zz'", "{0}"]),
    ("search_logs", {"service": "{0}", "level": "WARNING"}, ["'WARNING'", "WARN"]),
    ("search_logs", {"service": "{0}", "limit": 41}, ["41", "40"]),
    ("search_logs", {"service": "{0}", "text": "x"}, ["text"]),
    ("find_traces", {"service": "{0}", "status": "err"}, ["'err'", "error"]),
    ("find_traces", {"service": "{0}", "limit": 4}, ["4", "3"]),
    ("list_changes", {"kind": "deployment"}, ["'deployment'", "deploy"]),
    ("list_changes", {"window_minutes": 1441}, ["1441", "1440"]),
    ("run_diagnostic", {"service": "{0}", "kind": "thread"}, ["'thread'", "'threads'"]),
    ("run_diagnostic", {"service": "*", "kind": "threads"}, ["'*'", "{0}"]),
    ("show_service_map", {"service": 5}, ["5"]),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "arguments", "expected"), WRONG_ARGUMENTS)
def test_wrong_argument_gets_an_error_with_what_is_allowed(
    tool: str, arguments: dict[str, Any], expected: list[str]
) -> None:
    view = view_of(world_with_effect("calm"))
    name = view.world.entries[0].name
    filled = {k: v.format(name) if isinstance(v, str) else v for k, v in arguments.items()}
    with pytest.raises(ToolArgumentError) as caught:
        observe(view, tool, filled)
    for text in expected:
        assert text.format(name) in str(caught.value)


def test_inside_of_a_third_party_cannot_be_seen() -> None:
    world = world_with_effect("calm", 60)
    third_party = next(s.name for s in world.ordered if s.kind is ServiceKind.THIRD_PARTY)
    view = view_of(world)
    arguments: dict[str, Any] = {"service": third_party}
    assert "outside" in observe(view, "search_logs", arguments)
    assert "outside" in observe(view, "run_diagnostic", arguments | {"kind": "heap"})
    assert "no series" in observe(view, "query_metrics", arguments | {"metrics": "memory_ratio"})
    reply = observe(view, "query_metrics", arguments | {"metrics": "error_ratio"})
    assert parse_reply("query_metrics", reply).series


def test_argument_enums_contain_every_label_and_kind_of_change() -> None:
    assert set(GroupBy) == {"none", *Label}
    assert set(ChangeFilter) == {"all", *ChangeKind}


def test_tools_have_the_names_of_the_design() -> None:
    assert [tool.name for tool in OBSERVE_TOOLS.values()] == [
        "query_metrics", "search_logs", "find_traces", "show_service_map", "list_changes",
        "run_diagnostic",
    ]  # fmt: skip
