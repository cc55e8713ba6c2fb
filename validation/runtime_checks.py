"""Checks of what is played, and of what it is worth."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import full_observation_from_reply
from openenv_kit.json_text import compact_json
from openenv_kit.recordings.digest import canonical_observation_json
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import check_replay
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps
from validation.check_context import (
    CANARY_POLICIES,
    PLAYED_TASKS,
    ROOT,
    CheckContext,
    Measurements,
    SkippedError,
    register_check,
    require,
)

SUBMISSION_FOLDERS = {
    "metric_tracker_rl": "funnel-reference",
    "drilldown": "drill-reference",
    "firewatch": "firewatch-reference",
}
"""Recorded runs, from other machines."""


@register_check("runtime.reward_well_formed")
def _check_reward_range(context: CheckContext) -> Measurements:
    low, high = context.manifest.reward.range
    paid = [r["reward"] for each in context.reference_episodes for _, r in each[1:]]
    require(all(p is not None and low <= p <= high for p in paid), f"outside of {low} to {high}")
    return {"rewards": len(paid), "range": [low, high]}


@register_check("runtime.observation_schema")
def _check_observation_schema(context: CheckContext) -> Measurements:
    session, count = context.environment.create_session(), 0
    opening = session.reset(**context.resets[0])
    player = context.environment.policies["reference"]
    for reply in (opening, *(r for _, r in iter_policy_steps(session, player, opening))):
        fields = json.loads(
            canonical_observation_json(
                full_observation_from_reply(context.environment, reply, session.task_id)
            )
        )
        context.environment.wire_models.observation.model_validate(fields)
        count += 1
    return {"replies": count}


@register_check("runtime.state_contract")
def _check_step_count(context: CheckContext) -> Measurements:
    session = context.environment.create_session()
    opening, counted = session.reset(**context.resets[0]), []
    require(session.state().model_dump()["step_count"] == 0, "steps are not counted from 0")
    for _ in iter_policy_steps(session, context.environment.policies["reference"], opening):
        counted.append(session.state().model_dump()["step_count"])
    require(counted == list(range(1, len(counted) + 1)), f"steps are counted {counted}")
    return {"steps": len(counted)}


@register_check("runtime.rubric_introspectable")
def _check_rubric_tree(context: CheckContext) -> Measurements:
    declared, made = (
        context.manifest.capabilities.rubric_tree,
        context.environment.wire_models.rubric,
    )
    require(declared == (made is not None), f"declared {declared}, and there is {made}")
    if made is None:
        raise SkippedError("the manifest declares no tree of rubrics")
    return {"rubrics": [name for name, _ in made().named_rubrics()]}


@register_check("runtime.trajectory_record")
@register_check("semantic.replayability")
def _check_replayability(context: CheckContext) -> Measurements:
    plays = [*context.reference_episodes]
    for reset, play in zip(context.resets, plays, strict=True):
        plan = {"reset": reset, "actions": [action for action, _ in play[1:]]}
        replies = [canonical_observation_json(reply) for reply in context.replay_plan(plan)]
        require(
            replies == [canonical_observation_json(reply) for _, reply in play],
            f"{reset} replays otherwise",
        )
    return {"transcripts": len(plays)}


@register_check("runtime.reward_attribution")
def _check_score_parts(context: CheckContext) -> Measurements:
    parts = context.environment.score_components(_plain_json(context.reference_episodes[0][-1][1]))
    require(parts, "a final reply has no parts of its score")
    return {"parts": sorted(parts or ())}


@register_check("runtime.tool_declaration_accuracy")
def _check_tool_declaration(context: CheckContext) -> Measurements:
    declared = set(context.manifest.capabilities.declared_tools)
    session = context.environment.create_session()
    opening = full_observation_from_reply(
        context.environment, session.reset(**context.resets[0]), session.task_id
    )
    real = {*context.environment.tools.for_episode(opening).tool_names}
    if (
        context.environment.name == "drilldown"
    ):  # by slices or by SQL: all levels' tools are declared
        real = {*context.environment.tools.tool_names}
    require(declared == real, f"declared and offered differ in {sorted(declared ^ real)}")
    return {"tools": len(declared)}


@register_check("runtime.seed_control")
def _check_seed_control(context: CheckContext) -> Measurements:
    named = next(iter(context.environment.tasks.values()))
    openings = [_reset_digest(context, {**named, "seed": seed}) for seed in (1, 1, 2)]
    require(openings[0] == openings[1], "the same seed makes another episode")
    played = [context.play_policy("reference", {**named, "seed": seed})[1:-1] for seed in (1, 2)]
    differ = [canonical_observation_json(r) for _, r in played[0]] != [
        canonical_observation_json(r) for _, r in played[1]
    ]
    require(differ, "another seed makes the same episode")
    return {"seeds": 2}


@register_check("runtime.episode_determinism")
def _check_determinism(context: CheckContext) -> Measurements:
    again = [context.play_policy("reference", reset) for reset in context.resets]
    for one, other in zip(context.reference_episodes, again, strict=True):
        same = [canonical_observation_json(r) for _, r in one] == [
            canonical_observation_json(r) for _, r in other
        ]
        require(same, "the same inputs have another transcript")
    return {"episodes": len(again)}


@register_check("runtime.episode_isolation")
def _check_episode_isolation(context: CheckContext) -> Measurements:
    session = context.environment.create_session()
    for reset, play in zip(context.resets, context.reference_episodes, strict=True):
        replies = [canonical_observation_json(observation_from_reply(session.reset(**reset)))]
        replies += [
            canonical_observation_json(observation_from_reply(session.step(action)))
            for action, _ in play[1:]
        ]
        require(
            replies == [canonical_observation_json(r) for _, r in play],
            f"{reset} depends on what came before",
        )
    return {"episodes in one session": len(context.resets)}


@register_check("runtime.oracle_containment")
def _check_seed_is_hidden(context: CheckContext) -> Measurements:
    looked = 0
    for reset, play in zip(context.resets, context.reference_episodes, strict=True):
        task: Any = context.environment.splits.task(reset["split"], reset["index"])
        for _, reply in play:
            require(
                str(task.config.seed) not in canonical_observation_json(reply),
                f"the seed of {reset} is told",
            )
            looked += 1
    return {"replies without the seed": looked}


# What it is worth


@register_check("semantic.oracle_max")
def _check_reference_reward(context: CheckContext) -> Measurements:
    least = min(play[-1][1]["reward"] for play in context.reference_episodes)
    allowed = context.manifest.reward.range[1] - context.manifest.reward.oracle_tolerance
    require(least >= allowed, f"the reference earns {least}, and {allowed} is declared")
    return {"least": least, "declared": allowed}


@register_check("semantic.floor_gap")
def _check_null_policy_reward(context: CheckContext) -> Measurements:
    floors = [
        context.play_policy(name, r)[-1][1]["reward"] for name in ("null",) for r in context.resets
    ]
    floor, most = sum(floors) / len(floors), context.manifest.reward.range[1]
    margin = context.manifest.reward.floor_margin
    require(most - floor >= margin, f"the floor is {floor:.3f}; {margin} below {most} is declared")
    return {"floor": floor, "margin": margin}


@register_check("semantic.canary_floor")
def _check_canary_rewards(context: CheckContext) -> Measurements:
    earned = {
        n: context.replay_plan(plan)[-1]["reward"] for n, plan in context.canary_plans.items()
    }
    most = context.manifest.reward.range[1] - context.manifest.reward.floor_margin
    require(len(earned) >= 5, f"only {sorted(earned)} are shipped")
    require(max(earned.values()) <= most, f"above {most}: {earned}")
    return earned


@register_check("semantic.no_solution_leakage")
def _check_solution_is_hidden(context: CheckContext) -> Measurements:
    looked = 0
    for reset, play in zip(context.resets, context.reference_episodes, strict=True):
        solution = compact_json(play[-1][0])
        for name in CANARY_POLICIES[context.environment.name][:2]:
            for _, reply in context.play_policy(name, reset)[:-1]:
                require(
                    solution not in compact_json(_plain_json(reply)), f"{reset} tells its solution"
                )
                looked += 1
    return {"replies without the reference's report": looked}


@register_check("semantic.verifier_determinism")
def _check_grader_determinism(context: CheckContext) -> Measurements:
    plan = next(iter(context.canary_plans.values()))
    grades = {canonical_observation_json(context.replay_plan(plan)[-1]) for _ in range(3)}
    require(len(grades) == 1, "the same play is graded otherwise")
    return {"grades of one play": 3}


@register_check("semantic.verifier_portability")
def _check_grades_of_other_machines(context: CheckContext) -> Measurements:
    """The shipped runs were graded on other machines."""
    place = ROOT / "submissions" / SUBMISSION_FOLDERS[context.environment.name] / "runs.jsonl.gz"
    runs = read_runs(place)[:PLAYED_TASKS]
    for run in runs:
        again = check_replay(run, context.environment)
        require(
            again.matches_recording,
            f"{run.reset} was graded {run.score} elsewhere, and {again.score} here",
        )
    return {"runs graded elsewhere": len(runs)}


@register_check("semantic.resource_envelope")
def _check_resource_use(context: CheckContext) -> Measurements:
    began = time.monotonic()
    context.play_policy("reference", context.resets[0])
    took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    declared = context.manifest.resources
    require(took <= declared.episode_timeout_s, f"took {took:.1f} s")
    require(used <= declared.memory_mb, f"this process took {used:.0f} MB")
    return {"within_memory_mb": declared.memory_mb, "within_s": declared.episode_timeout_s}


def _reset_digest(context: CheckContext, reset: Mapping[str, Any]) -> str:
    return canonical_observation_json(
        observation_from_reply(context.environment.create_session().reset(**reset))
    )


def _plain_json(reply: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(canonical_observation_json(reply))
    return found
