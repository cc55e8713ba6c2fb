"""Checks of what is played, and of what it is worth."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import observation_of
from openenv_kit.recordings.format import canonical, read_runs
from openenv_kit.recordings.replay import replayed
from openenv_kit.rollouts.run_policy import moves, observed
from openenv_kit.tool import compact
from validation.check_context import (
    CANARIES,
    ROOT,
    TASKS,
    Measured,
    SkippedError,
    Subject,
    check,
    require,
)

SUBMISSIONS = {
    "metric_tracker_rl": "funnel-reference",
    "drilldown": "drill-reference",
    "firewatch": "firewatch-reference",
}
"""Recorded runs, from other machines."""


@check("runtime.reward_well_formed")
def _reward_well_formed(of: Subject) -> Measured:
    low, high = of.manifest.reward.range
    paid = [r["reward"] for each in of.oracle for _, r in each[1:]]
    require(all(p is not None and low <= p <= high for p in paid), f"outside of {low} to {high}")
    return {"rewards": len(paid), "range": [low, high]}


@check("runtime.observation_schema")
def _observation_schema(of: Subject) -> Measured:
    session, count = of.environment.session(), 0
    opening = session.reset(**of.resets[0])
    player = of.environment.policies["reference"]
    for reply in (opening, *(r for _, r in moves(session, player, opening))):
        fields = json.loads(canonical(observation_of(of.environment, reply, session.task_id)))
        of.environment.models.observation.model_validate(fields)
        count += 1
    return {"replies": count}


@check("runtime.state_contract")
def _state_contract(of: Subject) -> Measured:
    session = of.environment.session()
    opening, counted = session.reset(**of.resets[0]), []
    require(session.state().model_dump()["step_count"] == 0, "steps are not counted from 0")
    for _ in moves(session, of.environment.policies["reference"], opening):
        counted.append(session.state().model_dump()["step_count"])
    require(counted == list(range(1, len(counted) + 1)), f"steps are counted {counted}")
    return {"steps": len(counted)}


@check("runtime.rubric_introspectable")
def _rubric(of: Subject) -> Measured:
    declared, made = of.manifest.capabilities.rubric_tree, of.environment.models.rubric
    require(declared == (made is not None), f"declared {declared}, and there is {made}")
    if made is None:
        raise SkippedError("the manifest declares no tree of rubrics")
    return {"rubrics": [name for name, _ in made().named_rubrics()]}


@check("runtime.trajectory_record")
@check("semantic.replayability")
def _replayability(of: Subject) -> Measured:
    plays = [*of.oracle]
    for reset, play in zip(of.resets, plays, strict=True):
        plan = {"reset": reset, "actions": [action for action, _ in play[1:]]}
        replies = [canonical(reply) for reply in of.replayed(plan)]
        require(replies == [canonical(reply) for _, reply in play], f"{reset} replays otherwise")
    return {"transcripts": len(plays)}


@check("runtime.reward_attribution")
def _reward_attribution(of: Subject) -> Measured:
    parts = of.environment.score_parts(_plain(of.oracle[0][-1][1]))
    require(parts, "a final reply has no parts of its score")
    return {"parts": sorted(parts or ())}


@check("runtime.tool_declaration_accuracy")
def _tool_declaration(of: Subject) -> Measured:
    declared = set(of.manifest.capabilities.declared_tools)
    session = of.environment.session()
    opening = observation_of(of.environment, session.reset(**of.resets[0]), session.task_id)
    real = {*of.environment.tools.offered(opening).names}
    if of.environment.name == "drilldown":  # by slices or by SQL: all levels' tools are declared
        real = {*of.environment.tools.names}
    require(declared == real, f"declared and offered differ in {sorted(declared ^ real)}")
    return {"tools": len(declared)}


@check("runtime.seed_control")
def _seed_control(of: Subject) -> Measured:
    named = next(iter(of.environment.tasks.values()))
    openings = [_opening(of, {**named, "seed": seed}) for seed in (1, 1, 2)]
    require(openings[0] == openings[1], "the same seed makes another episode")
    played = [of.play("reference", {**named, "seed": seed})[1:-1] for seed in (1, 2)]
    differ = [canonical(r) for _, r in played[0]] != [canonical(r) for _, r in played[1]]
    require(differ, "another seed makes the same episode")
    return {"seeds": 2}


@check("runtime.episode_determinism")
def _determinism(of: Subject) -> Measured:
    again = [of.play("reference", reset) for reset in of.resets]
    for one, other in zip(of.oracle, again, strict=True):
        same = [canonical(r) for _, r in one] == [canonical(r) for _, r in other]
        require(same, "the same inputs have another transcript")
    return {"episodes": len(again)}


@check("runtime.episode_isolation")
def _isolation(of: Subject) -> Measured:
    session = of.environment.session()
    for reset, play in zip(of.resets, of.oracle, strict=True):
        replies = [canonical(observed(session.reset(**reset)))]
        replies += [canonical(observed(session.step(action))) for action, _ in play[1:]]
        require(replies == [canonical(r) for _, r in play], f"{reset} depends on what came before")
    return {"episodes in one session": len(of.resets)}


@check("runtime.oracle_containment")
def _oracle_containment(of: Subject) -> Measured:
    looked = 0
    for reset, play in zip(of.resets, of.oracle, strict=True):
        task: Any = of.environment.splits.task(reset["split"], reset["index"])
        for _, reply in play:
            require(str(task.config.seed) not in canonical(reply), f"the seed of {reset} is told")
            looked += 1
    return {"replies without the seed": looked}


# What it is worth


@check("semantic.oracle_max")
def _oracle_max(of: Subject) -> Measured:
    least = min(play[-1][1]["reward"] for play in of.oracle)
    allowed = of.manifest.reward.range[1] - of.manifest.reward.oracle_tolerance
    require(least >= allowed, f"the reference earns {least}, and {allowed} is declared")
    return {"least": least, "declared": allowed}


@check("semantic.floor_gap")
def _floor_gap(of: Subject) -> Measured:
    floors = [of.play(name, r)[-1][1]["reward"] for name in ("null",) for r in of.resets]
    floor, most = sum(floors) / len(floors), of.manifest.reward.range[1]
    margin = of.manifest.reward.floor_margin
    require(most - floor >= margin, f"the floor is {floor:.3f}; {margin} below {most} is declared")
    return {"floor": floor, "margin": margin}


@check("semantic.canary_floor")
def _canary_floor(of: Subject) -> Measured:
    earned = {n: of.replayed(plan)[-1]["reward"] for n, plan in of.canaries.items()}
    most = of.manifest.reward.range[1] - of.manifest.reward.floor_margin
    require(len(earned) >= 5, f"only {sorted(earned)} are shipped")
    require(max(earned.values()) <= most, f"above {most}: {earned}")
    return earned


@check("semantic.no_solution_leakage")
def _no_solution_leakage(of: Subject) -> Measured:
    looked = 0
    for reset, play in zip(of.resets, of.oracle, strict=True):
        solution = compact(play[-1][0])
        for name in CANARIES[of.environment.name][:2]:
            for _, reply in of.play(name, reset)[:-1]:
                require(solution not in compact(_plain(reply)), f"{reset} tells its solution")
                looked += 1
    return {"replies without the reference's report": looked}


@check("semantic.verifier_determinism")
def _verifier_determinism(of: Subject) -> Measured:
    plan = next(iter(of.canaries.values()))
    grades = {canonical(of.replayed(plan)[-1]) for _ in range(3)}
    require(len(grades) == 1, "the same play is graded otherwise")
    return {"grades of one play": 3}


@check("semantic.verifier_portability")
def _verifier_portability(of: Subject) -> Measured:
    """The shipped runs were graded on other machines."""
    place = ROOT / "submissions" / SUBMISSIONS[of.environment.name] / "runs.jsonl.gz"
    runs = read_runs(place)[:TASKS]
    for run in runs:
        again = replayed(run, of.environment)
        require(again.same, f"{run.reset} was graded {run.score} elsewhere, and {again.score} here")
    return {"runs graded elsewhere": len(runs)}


@check("semantic.resource_envelope")
def _resource_envelope(of: Subject) -> Measured:
    began = time.monotonic()
    of.play("reference", of.resets[0])
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    declared = of.manifest.resources
    require(took <= declared.episode_timeout_s, f"took {took:.1f} s")
    require(used <= declared.memory_mb, f"this process took {used:.0f} MB")
    return {"within_memory_mb": declared.memory_mb, "within_s": declared.episode_timeout_s}


def _opening(of: Subject, reset: Mapping[str, Any]) -> str:
    return canonical(observed(of.environment.session().reset(**reset)))


def _plain(reply: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(canonical(reply))
    return found
