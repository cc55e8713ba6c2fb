"""The score rewards repairs in time, and charges needless and harmful changes."""

from __future__ import annotations

import pytest

from firewatch_next.changes.change import ChangeKind
from firewatch_next.faults.fault_type import Origin, Thing
from firewatch_next.faults.registry import fault_types
from firewatch_next.grading.par import measure_reference, plan_repairs
from firewatch_next.grading.replay import TimedCall, apply_call, graded_ticks, run_calls
from firewatch_next.grading.score import (
    PlayedChange,
    PlayedEpisode,
    Reference,
    ScoreParts,
    score_episode,
)
from firewatch_next.simulation.build_world import build_world
from firewatch_next.simulation.service import ServiceKind
from openenv_kit.bitstream import BitStream
from openenv_kit.tool import ToolCall
from support.fault_trials import LEVEL_TICKS, FaultyWorld, Wanted, build_faulty_world

LEAK = Wanted(Thing.FLAG, Origin.UNLISTED, None, start_tick=-30)
BAD_DEPLOY = Wanted(Thing.VERSION, Origin.SAFE_CHANGE, ChangeKind.DEPLOY)


@pytest.fixture(scope="module")
def leak() -> FaultyWorld:
    return build_faulty_world(fault_types()["connection_leak"], LEAK)


@pytest.fixture(scope="module")
def bad_deploy() -> FaultyWorld:
    return build_faulty_world(fault_types()["code_error"], BAD_DEPLOY)


def reference_of(faulty: FaultyWorld, name: str) -> Reference:
    faults = [(fault_types()[name], faulty.fault)]
    return measure_reference(faulty.world, faults, "medium", LEVEL_TICKS)


def repairs_of(faulty: FaultyWorld, name: str, first_tick: int) -> list[TimedCall]:
    return plan_repairs(faulty.world, [(fault_types()[name], faulty.fault)], first_tick)


def score(
    faulty: FaultyWorld,
    reference: Reference,
    calls: list[TimedCall],
    declared_tick: int | None = 25,
) -> ScoreParts:
    changes = tuple(PlayedChange(call) for call in calls)
    return score_episode(
        PlayedEpisode(faulty.world, changes, declared_tick, LEVEL_TICKS), reference
    )


def other_service(faulty: FaultyWorld) -> str:
    """Return an application outside the faulty path, so that restarting it changes nothing."""
    return next(
        service.name
        for service in faulty.world.ordered
        if service.kind is ServiceKind.STORE and service.name != faulty.fault.place.callee
    )


def test_certified_repairs_score_one(leak: FaultyWorld, bad_deploy: FaultyWorld) -> None:
    for faulty, name in ((leak, "connection_leak"), (bad_deploy, "code_error")):
        parts = score(faulty, reference_of(faulty, name), repairs_of(faulty, name, 5))
        assert parts.score == pytest.approx(1.0)
        assert (parts.harmful, parts.needless) == (0, 0)


def test_doing_nothing_scores_zero_even_if_declared(bad_deploy: FaultyWorld) -> None:
    reference = reference_of(bad_deploy, "code_error")
    assert score(bad_deploy, reference, [], None).score == 0.0
    assert score(bad_deploy, reference, [], 1).score == 0.0


def test_repair_without_declaration_is_worth_nine_tenths_of_resolved(
    bad_deploy: FaultyWorld,
) -> None:
    reference = reference_of(bad_deploy, "code_error")
    parts = score(bad_deploy, reference, repairs_of(bad_deploy, "code_error", 5), None)
    assert parts.score == pytest.approx(0.55 * 0.9 + 0.45)


def test_later_repair_scores_less_and_still_resolves(bad_deploy: FaultyWorld) -> None:
    reference = reference_of(bad_deploy, "code_error")
    early, late = (
        score(bad_deploy, reference, repairs_of(bad_deploy, "code_error", tick)) for tick in (8, 20)
    )
    assert early.score > late.score + 0.05
    assert late.resolved == 1.0
    assert late.score >= 0.55


def test_first_needless_change_is_free_and_the_next_costs_a_tenth(
    bad_deploy: FaultyWorld,
) -> None:
    reference = reference_of(bad_deploy, "code_error")
    repairs = repairs_of(bad_deploy, "code_error", 5)
    service = bad_deploy.world.services[other_service(bad_deploy)]
    needless = [
        TimedCall(20 + number, ToolCall("set_config", {
            "service": service.name, "key": "keep_alive_s", "value": str(90 + number)
        }))
        for number in range(2)
    ]  # fmt: skip
    one = score(bad_deploy, reference, repairs + needless[:1])
    two = score(bad_deploy, reference, repairs + needless)
    assert (one.needless, one.precision) == (1, 1.0)
    assert two.needless == 2
    assert two.precision == pytest.approx(0.9)


def test_harmful_change_costs_a_quarter(bad_deploy: FaultyWorld) -> None:
    reference = reference_of(bad_deploy, "code_error")
    entry = bad_deploy.world.entries[0]
    harmful = TimedCall(22, ToolCall("scale_service", {"service": entry.name, "replicas": 1}))
    parts = score(bad_deploy, reference, [*repairs_of(bad_deploy, "code_error", 5), harmful])
    assert parts.harmful == 1
    assert parts.precision <= 0.75


def test_precision_has_a_floor(bad_deploy: FaultyWorld) -> None:
    reference = reference_of(bad_deploy, "code_error")
    calls = [
        TimedCall(2, ToolCall("restart_pods", {"service": other_service(bad_deploy)}))
    ] * 16  # fmt: skip
    parts = score(bad_deploy, reference, calls)
    assert parts.needless >= 12
    assert parts.precision == 0.15


def test_nothing_here_is_needless(bad_deploy: FaultyWorld) -> None:
    reference = reference_of(bad_deploy, "code_error")
    repairs = [PlayedChange(call) for call in repairs_of(bad_deploy, "code_error", 5)]
    call = TimedCall(3, ToolCall("restart_pods", {"service": other_service(bad_deploy)}))
    nothing = PlayedChange(call, had_nothing_to_change=True)
    episode = PlayedEpisode(bad_deploy.world, (nothing, nothing, *repairs), 25, LEVEL_TICKS)
    assert score_episode(episode, reference).needless == 2


def test_false_alert_wants_a_declaration_without_changes() -> None:
    world = build_world(BitStream("false alert"), 6)
    world.advance_to(0)
    reference = measure_reference(world, [], "easy", 20)
    assert reference.is_false_alert
    declared = score_episode(PlayedEpisode(world, (), 3, 20), reference)
    silent = score_episode(PlayedEpisode(world, (), None, 20), reference)
    restart = PlayedChange(
        TimedCall(2, ToolCall("restart_pods", {"service": world.ordered[0].name}))
    )
    restarted = score_episode(PlayedEpisode(world, (restart,), 6, 20), reference)
    assert declared.score == 1.0
    assert silent.score == 0.0
    assert restarted.impact == 0.0


def test_capacity_that_was_added_goes_after_the_graded_time() -> None:
    wanted = Wanted(Thing.SETTING, Origin.SAFE_CHANGE, ChangeKind.CONFIG, "cpu_cores")
    faulty = build_faulty_world(fault_types()["resource_limit"], wanted)
    service = faulty.world.services[faulty.fault.place.service]
    more_pods = ToolCall(
        "scale_service", {"service": service.name, "replicas": 3 * service.usual_pods}
    )
    world = faulty.world.fork()
    apply_call(world, more_pods)
    world.advance_to(graded_ticks(LEVEL_TICKS))
    assert world.harm == 0.0
    assert not run_calls(faulty.world, [TimedCall(1, more_pods)], LEVEL_TICKS).is_resolved


def test_scoring_does_not_change_the_world(leak: FaultyWorld) -> None:
    reference = reference_of(leak, "connection_leak")
    before = run_calls(leak.world, [], LEVEL_TICKS)
    score(leak, reference, repairs_of(leak, "connection_leak", 5))
    assert leak.world.tick == 0
    assert run_calls(leak.world, [], LEVEL_TICKS) == before
