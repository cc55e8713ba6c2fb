"""The hypothesis of each fault type finds its own fault, and proposes what repairs it."""

from __future__ import annotations

import pytest

from firewatch_next.faults.evidence import Verdict
from firewatch_next.faults.fault_type import Fault
from firewatch_next.faults.incompatible_data import IncompatibleData
from firewatch_next.faults.registry import fault_types
from firewatch_next.faults.traffic_growth import TrafficGrowth
from firewatch_next.grading.replay import TimedCall, run_calls
from firewatch_next.simulation.world import World
from support.direct_replies import answer, make_suspect
from support.fault_trials import LEVEL_TICKS, FaultyWorld, build_faulty_world
from support.infrastructure_trials import INFRASTRUCTURE_TRIALS
from support.service_trials import SERVICE_TRIALS

TRIALS = {**SERVICE_TRIALS, **INFRASTRUCTURE_TRIALS}


@pytest.fixture(scope="module", params=TRIALS, ids=lambda key: " ".join(key))
def trial(request: pytest.FixtureRequest) -> tuple[str, FaultyWorld]:
    name, _ = request.param
    return name, build_faulty_world(fault_types()[name], TRIALS[request.param])


def judge_near(world: World, name: str, fault: Fault) -> Verdict | None:
    """Return the first verdict at the callee of a fault's place, its service and its callees."""
    hypothesis = fault_types()[name].hypothesis
    place = fault.place
    near = [place.callee, place.service] if place.callee else [place.service]
    if isinstance(fault, TrafficGrowth):
        near = [*fault.full_services]
    if isinstance(fault, IncompatibleData):
        near = [fault.reader]
    near += [client.callee for client in world.services[place.service].clients]
    for service in near:
        suspect = make_suspect(world, service)
        replies = tuple(answer(world, question) for question in hypothesis.questions(suspect))
        verdict = hypothesis.judge(suspect, replies)
        if verdict is not None:
            return verdict
    return None


def test_hypothesis_proposes_a_repair_that_resolves_or_lessens(
    trial: tuple[str, FaultyWorld],
) -> None:
    name, faulty = trial
    verdict = judge_near(faulty.world, name, faulty.fault)
    assert verdict is not None
    calls = [TimedCall(2 + 9 * number, call) for number, call in enumerate(verdict.calls)]
    outcome = run_calls(faulty.world, calls, LEVEL_TICKS)
    if faulty.fault.place.name == "customers":  # one of several services gets more pods
        assert outcome.harm < run_calls(faulty.world, [], LEVEL_TICKS).harm
    else:
        assert outcome.is_resolved, verdict.calls


def test_hypothesis_does_not_fit_a_healthy_world(trial: tuple[str, FaultyWorld]) -> None:
    name, faulty = trial
    world = faulty.healthy_world.fork()
    world.advance_to(0)
    assert judge_near(world, name, faulty.fault) is None


def test_decisive_measure_exceeds_its_threshold_only_with_the_fault(
    trial: tuple[str, FaultyWorld],
) -> None:
    name, faulty = trial
    healthy = faulty.healthy_world.fork()
    healthy.advance_to(0)
    place = faulty.fault.place
    for check in fault_types()[name].decisive:
        question = check.question(place)
        assert check.measure(answer(faulty.world, question), place) > check.threshold, check.name
        assert check.measure(answer(healthy, question), place) <= check.threshold, check.name
