"""Each fault type harms alone, and only its repairs repair it."""

from __future__ import annotations

import string

import pytest

from firewatch_next.faults.registry import fault_types
from firewatch_next.grading.replay import WELL_HARM, graded_ticks, run_calls
from firewatch_next.simulation.log_event import Wording, choose_phrasing
from openenv_kit.bitstream import BitStream
from support.fault_trials import (
    LEVEL_TICKS,
    FaultyWorld,
    build_faulty_world,
    plan_calls,
    start_fault,
)
from support.infrastructure_trials import INFRASTRUCTURE_TRIALS
from support.service_trials import SERVICE_TRIALS

TRIALS = {**SERVICE_TRIALS, **INFRASTRUCTURE_TRIALS}

# Events that only stores log have no phrasings of application stacks.
STORE_STACKS = {"postgres", "redis", "kafka"}


@pytest.fixture(scope="module", params=TRIALS, ids=lambda key: " ".join(key))
def trial(request: pytest.FixtureRequest) -> tuple[str, FaultyWorld]:
    name, _ = request.param
    return name, build_faulty_world(fault_types()[name], TRIALS[request.param])


def test_world_without_the_fault_harms_nobody(trial: tuple[str, FaultyWorld]) -> None:
    world = trial[1].healthy_world.fork()
    while world.tick < graded_ticks(LEVEL_TICKS):
        world.advance()
        assert world.harm == 0.0, f"tick {world.tick}"


def test_fault_without_repair_outlasts_the_graded_time(trial: tuple[str, FaultyWorld]) -> None:
    outcome = run_calls(trial[1].world, [], LEVEL_TICKS)
    assert outcome.final_harm > 2 * WELL_HARM
    assert outcome.harm > 0.3


def test_each_repair_resolves_the_fault(trial: tuple[str, FaultyWorld]) -> None:
    name, faulty = trial
    plans = [
        plan
        for steps in fault_types()[name].repairs
        if (plan := plan_calls(faulty.world, faulty.fault, steps)) is not None
    ]
    assert plans
    for plan in plans:
        outcome = run_calls(faulty.world, plan, LEVEL_TICKS)
        assert outcome.is_resolved, [timed.call for timed in plan]
        assert outcome.harm < run_calls(faulty.world, [], LEVEL_TICKS).harm


def test_no_mitigation_resolves_the_fault(trial: tuple[str, FaultyWorld]) -> None:
    name, faulty = trial
    for step in fault_types()[name].mitigations:
        plan = plan_calls(faulty.world, faulty.fault, [step])
        if plan is not None:
            assert not run_calls(faulty.world, plan, LEVEL_TICKS).is_resolved, step.name


def test_first_step_of_a_repair_in_two_steps_does_not_resolve(
    trial: tuple[str, FaultyWorld],
) -> None:
    name, faulty = trial
    for steps in fault_types()[name].repairs:
        plan = plan_calls(faulty.world, faulty.fault, steps)
        if plan is not None and len(plan) > 1:
            assert not run_calls(faulty.world, plan[:1], LEVEL_TICKS).is_resolved


def test_smooth_severity_never_harms_less(
    request: pytest.FixtureRequest, trial: tuple[str, FaultyWorld]
) -> None:
    name, faulty = trial
    if not fault_types()[name].has_smooth_severity:
        pytest.skip("its severity is drawn, not bisected")
    wanted = TRIALS[request.node.callspec.params["trial"]]
    place = faulty.fault.place
    harms = [
        start_fault(fault_types()[name], faulty.seed, place, wanted, size).world.harm
        for size in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert harms == sorted(harms)
    assert harms[0] < harms[-1]


def test_undoing_an_unsafe_deploy_harms() -> None:
    wanted = TRIALS["code_error", "unsafe"]
    faulty = build_faulty_world(fault_types()["code_error"], wanted)
    world = faulty.world.fork()
    change = faulty.fault.change
    assert change is not None
    world.undo_change(change.id, 1)
    world.advance_to(20)
    assert world.services[change.service].failed_share == pytest.approx(1 / 3, abs=0.02)


def test_log_events_have_distinct_phrasings_with_all_their_fields() -> None:
    for fault_type in fault_types().values():
        for event in fault_type.log_events:
            assert "any" in event.phrasings
            assert len(event.phrasings) >= (2 if STORE_STACKS & set(event.phrasings) else 3)
            for phrasings in event.phrasings.values():
                templates = (*phrasings.open, phrasings.test, phrasings.sealed)
                assert len(set(templates)) == len(templates) >= 4
                for template in templates:
                    named = {name for _, name, _, _ in string.Formatter().parse(template) if name}
                    assert named == set(event.fields), template


def test_emitted_log_fields_fill_the_phrasings(trial: tuple[str, FaultyWorld]) -> None:
    name, faulty = trial
    services = faulty.world.services
    history = faulty.world.history
    records = [record for s in services for record in history.log_records(s, -30, 0)]
    assert {record.event for record in records} <= set(fault_types()[name].log_events)
    assert records
    for record in records:
        stack = services[record.service].stack
        for wording in Wording:
            template = choose_phrasing(BitStream("draws"), stack, record.event, wording)
            assert "{" not in template.format(**record.fields)
