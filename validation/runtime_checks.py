"""Checks that play episodes: replies, determinism, rewards and resources."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping, Sequence
from typing import Any

from openenv_kit.environment import full_observation_from_reply
from openenv_kit.json_text import compact_json
from openenv_kit.recordings.digest import format_canonical_json_without_empty_fields
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps
from validation.check_context import (
    CANARY_POLICIES,
    PLAYED_TASKS,
    ROOT,
    CheckContext,
    Measurements,
    PlayedStep,
    SkippedError,
    register_check,
    require,
)

SUBMISSION_FOLDERS = {
    "metric_tracker_rl": "funnel-reference",
    "drilldown": "drill-reference",
    "firewatch": "firewatch-reference",
}
"""Folders of runs that were recorded on other machines."""
MIN_CANARY_PLANS = 5
"""Number of canary plans that the framework requires."""


@register_check("runtime.reward_well_formed")
def _check_reward_range(context: CheckContext) -> Measurements:
    low, high = context.manifest.reward.range
    rewards = [
        step.observation["reward"] for episode in context.reference_episodes for step in episode[1:]
    ]
    require(
        all(reward is not None and low <= reward <= high for reward in rewards),
        f"a reward is outside {low} to {high}",
    )
    return {"rewards": len(rewards), "range": [low, high]}


@register_check("runtime.observation_schema")
def _check_observation_schema(context: CheckContext) -> Measurements:
    session = context.environment.create_session()
    reset_reply = session.reset(**context.resets[0])
    reference = context.environment.policies["reference"]
    replies = [reset_reply]
    replies += [reply for _, reply in iter_policy_steps(session, reference, reset_reply)]
    for reply in replies:
        observation = full_observation_from_reply(context.environment, reply, session.task_id)
        context.environment.wire_models.observation.model_validate(_plain_json(observation))
    return {"replies": len(replies)}


@register_check("runtime.state_contract")
def _check_step_count(context: CheckContext) -> Measurements:
    session = context.environment.create_session()
    reset_reply = session.reset(**context.resets[0])
    first_count = session.state().model_dump()["step_count"]
    require(first_count == 0, f"the step count after a reset is {first_count}, not 0")
    counts = []
    for _ in iter_policy_steps(session, context.environment.policies["reference"], reset_reply):
        counts.append(session.state().model_dump()["step_count"])
    require(counts == list(range(1, len(counts) + 1)), f"the step counts are {counts}")
    return {"steps": len(counts)}


@register_check("runtime.rubric_introspectable")
def _check_rubric_tree(context: CheckContext) -> Measurements:
    is_declared = context.manifest.capabilities.rubric_tree
    rubric = context.environment.wire_models.rubric
    require(
        is_declared == (rubric is not None),
        f"the manifest declares rubric_tree {is_declared}; the environment's rubric is {rubric}",
    )
    if rubric is None:
        raise SkippedError("the manifest declares no tree of rubrics")
    return {"rubrics": [name for name, _ in rubric().named_rubrics()]}


@register_check("runtime.trajectory_record")
@register_check("semantic.replayability")
def _check_replayability(context: CheckContext) -> Measurements:
    episodes = context.reference_episodes
    for reset, episode in zip(context.resets, episodes, strict=True):
        plan = {"reset": reset, "actions": [step.action for step in episode[1:]]}
        replies = [
            format_canonical_json_without_empty_fields(reply) for reply in context.replay_plan(plan)
        ]
        require(replies == _observation_texts(episode), f"the replay of {reset} differs")
    return {"transcripts": len(episodes)}


@register_check("runtime.reward_attribution")
def _check_score_parts(context: CheckContext) -> Measurements:
    last_observation = context.reference_episodes[0][-1].observation
    parts = context.environment.extract_score_components(_plain_json(last_observation))
    require(parts, "the last reply has no score components")
    return {"parts": sorted(parts or ())}


@register_check("runtime.tool_declaration_accuracy")
def _check_tool_declaration(context: CheckContext) -> Measurements:
    declared = set(context.manifest.capabilities.declared_tools)
    session = context.environment.create_session()
    observation = full_observation_from_reply(
        context.environment, session.reset(**context.resets[0]), session.task_id
    )
    tools = context.environment.tools
    offered = set(tools.select_for_episode(observation).tool_names)
    if context.environment.name == "drilldown":
        # Levels offer slices or SQL; the manifest declares the tools of all levels.
        offered = set(tools.tool_names)
    require(
        declared == offered,
        f"declared and offered tools differ in {sorted(declared ^ offered)}",
    )
    return {"tools": len(declared)}


@register_check("runtime.seed_control")
def _check_seed_control(context: CheckContext) -> Measurements:
    task = next(iter(context.environment.reset_arguments_by_task_id.values()))
    first, again, other = (
        context.play_policy("reference", {**task, "seed": seed}) for seed in (1, 1, 2)
    )
    require(
        _observation_texts(first[:1]) == _observation_texts(again[:1]),
        "the same seed gives different episodes",
    )
    require(
        _observation_texts(first[1:-1]) != _observation_texts(other[1:-1]),
        "different seeds give the same episode",
    )
    return {"seeds": 2}


@register_check("runtime.episode_determinism")
def _check_determinism(context: CheckContext) -> Measurements:
    repeated_episodes = [context.play_policy("reference", reset) for reset in context.resets]
    for episode, repeated in zip(context.reference_episodes, repeated_episodes, strict=True):
        require(
            _observation_texts(episode) == _observation_texts(repeated),
            "the same reset and actions give different replies",
        )
    return {"episodes": len(repeated_episodes)}


@register_check("runtime.episode_isolation")
def _check_episode_isolation(context: CheckContext) -> Measurements:
    session = context.environment.create_session()
    for reset, episode in zip(context.resets, context.reference_episodes, strict=True):
        replies = [
            format_canonical_json_without_empty_fields(
                observation_from_reply(session.reset(**reset))
            )
        ]
        replies += [
            format_canonical_json_without_empty_fields(
                observation_from_reply(session.step(step.action))
            )
            for step in episode[1:]
        ]
        require(
            replies == _observation_texts(episode),
            f"the episode of {reset} depends on earlier episodes of the session",
        )
    return {"episodes in one session": len(context.resets)}


@register_check("runtime.oracle_containment")
def _check_seed_is_hidden(context: CheckContext) -> Measurements:
    reply_count = 0
    for reset, episode in zip(context.resets, context.reference_episodes, strict=True):
        task: Any = context.environment.splits.task(reset["split"], reset["index"])
        for text in _observation_texts(episode):
            require(str(task.config.seed) not in text, f"a reply contains the seed of {reset}")
            reply_count += 1
    return {"replies without the seed": reply_count}


@register_check("semantic.oracle_max")
def _check_reference_reward(context: CheckContext) -> Measurements:
    lowest = min(episode[-1].observation["reward"] for episode in context.reference_episodes)
    declared = context.manifest.reward.range[1] - context.manifest.reward.oracle_tolerance
    require(lowest >= declared, f"the reference earns {lowest}; the manifest declares {declared}")
    return {"least": lowest, "declared": declared}


@register_check("semantic.floor_gap")
def _check_null_policy_reward(context: CheckContext) -> Measurements:
    rewards = [
        context.play_policy("null", reset)[-1].observation["reward"] for reset in context.resets
    ]
    floor = sum(rewards) / len(rewards)
    highest = context.manifest.reward.range[1]
    margin = context.manifest.reward.floor_margin
    require(
        highest - floor >= margin,
        f"the null policy earns {floor:.3f}; the manifest declares at least {margin} below "
        f"{highest}",
    )
    return {"floor": floor, "margin": margin}


@register_check("semantic.canary_floor")
def _check_canary_rewards(context: CheckContext) -> Measurements:
    rewards = {
        name: context.replay_plan(plan)[-1]["reward"] for name, plan in context.canary_plans.items()
    }
    max_reward = context.manifest.reward.range[1] - context.manifest.reward.floor_margin
    require(
        len(rewards) >= MIN_CANARY_PLANS,
        f"there are {len(rewards)} canary plans; required: at least {MIN_CANARY_PLANS}",
    )
    require(
        max(rewards.values()) <= max_reward, f"a canary earns more than {max_reward}: {rewards}"
    )
    return rewards


@register_check("semantic.no_solution_leakage")
def _check_solution_is_hidden(context: CheckContext) -> Measurements:
    reply_count = 0
    for reset, episode in zip(context.resets, context.reference_episodes, strict=True):
        solution = compact_json(episode[-1].action)
        for policy_name in CANARY_POLICIES[context.environment.name][:2]:
            for step in context.play_policy(policy_name, reset)[:-1]:
                require(
                    solution not in compact_json(_plain_json(step.observation)),
                    f"a reply contains the solution of {reset}",
                )
                reply_count += 1
    return {"replies without the reference's report": reply_count}


@register_check("semantic.verifier_determinism")
def _check_grader_determinism(context: CheckContext) -> Measurements:
    plan = next(iter(context.canary_plans.values()))
    grades = {
        format_canonical_json_without_empty_fields(context.replay_plan(plan)[-1]) for _ in range(3)
    }
    require(len(grades) == 1, "the same actions are graded differently")
    return {"grades of one play": 3}


@register_check("semantic.verifier_portability")
def _check_grades_of_other_machines(context: CheckContext) -> Measurements:
    folder = ROOT / "submissions" / SUBMISSION_FOLDERS[context.environment.name]
    runs = read_runs(folder / "runs.jsonl.gz")[:PLAYED_TASKS]
    for run in runs:
        result = replay_and_compare_run(run, context.environment)
        require(
            result.matches_recording,
            f"{run.reset} was graded {run.score} on another machine, and {result.score} here",
        )
    return {"runs graded elsewhere": len(runs)}


@register_check("semantic.resource_envelope")
def _check_resource_use(context: CheckContext) -> Measurements:
    started = time.monotonic()
    context.play_policy("reference", context.resets[0])
    elapsed_s = time.monotonic() - started
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    declared = context.manifest.resources
    require(
        elapsed_s <= declared.episode_timeout_s,
        f"an episode took {elapsed_s:.1f} s; the manifest declares {declared.episode_timeout_s} s",
    )
    require(
        used_mb <= declared.memory_mb,
        f"the process used {used_mb:.0f} MB; the manifest declares {declared.memory_mb} MB",
    )
    return {"within_memory_mb": declared.memory_mb, "within_s": declared.episode_timeout_s}


def _observation_texts(steps: Sequence[PlayedStep]) -> list[str]:
    return [format_canonical_json_without_empty_fields(step.observation) for step in steps]


def _plain_json(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an observation with models replaced by JSON values."""
    fields: dict[str, Any] = json.loads(format_canonical_json_without_empty_fields(observation))
    return fields
