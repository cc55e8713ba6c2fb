"""Converts recorded runs to the Agent Trajectory Interchange Format (ATIF).

A trajectory contains the replies, but a recording contains only their digests. The run is therefore
replayed, and an error is raised if a reply differs from the recorded one. The text that a model
wrote in addition to tool calls, and its token counts, are not exported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import Environment
from openenv_kit.json_text import compact_json
from openenv_kit.recordings.format import RecordedRun, RecordingError
from openenv_kit.recordings.replay import iter_replayed_steps, require_recorded_versions

ATIF_VERSION = "ATIF-v1.7"
ATIF_NOTES = "Replayed from a recording of its actions; the agent's text is not exported."

JsonObject = dict[str, Any]


def build_atif_trajectory(run: RecordedRun, environment: Environment) -> JsonObject:
    """Replay a run and convert it to an ATIF document.

    Raises:
        RecordingError: the run was recorded with a version that differs from the installed one, or
            a reply differs from the recorded one. The message contains the version or the step.
    """
    require_recorded_versions(run, environment)
    is_scripted = run.player.startswith("scripted:")
    steps: list[JsonObject] = []
    for number, (action, observation, matches) in enumerate(iter_replayed_steps(run, environment)):
        if not matches:
            position = f"step {number}" if number else "the reset"
            raise RecordingError(
                f"The reply to {position} differs from the recorded one. Use the release that "
                "recorded the run."
            )
        if number == 0:
            tools = environment.tools.select_for_episode(observation)
            first_message = environment.tools.first_user_message(observation)
            steps.append(
                {"source": "system", "message": environment.build_system_prompt(observation)}
            )
            steps.append({"source": "user", "message": first_message})
            continue
        steps.append(
            _build_atif_agent_step(f"call_{number}", action, observation, tools, is_scripted)
        )
    agent: JsonObject = {
        "name": run.player,
        "version": environment.version,
        "tool_definitions": tools.chat_tools,
    }
    if not is_scripted:
        agent["model_name"] = run.player
    return {
        "schema_version": ATIF_VERSION,
        "session_id": run.digest,
        "agent": agent,
        "steps": [{"step_id": number, **step} for number, step in enumerate(steps, start=1)],
        "notes": ATIF_NOTES,
        "final_metrics": {"total_steps": len(steps), "extra": {"score": run.score}},
        "extra": {
            "environment": environment.name,
            "reset": run.reset,
            "versions": run.versions,
        },
    }


class NamedRun(NamedTuple):
    """A recorded run with a name that is unique among several runs."""

    name: str
    run: RecordedRun


def iter_uniquely_named_runs(runs: Iterable[RecordedRun]) -> Iterator[NamedRun]:
    """Yield runs with unique names: the task's name, with a number for repeated tasks."""
    earlier_runs = Counter[str]()
    for run in runs:
        repetition = earlier_runs[run.task_name]
        earlier_runs[run.task_name] += 1
        yield NamedRun(f"{run.task_name}-e{repetition}" if repetition else run.task_name, run)


def _build_atif_agent_step(
    call_id: str,
    action: JsonObject,
    observation: JsonObject,
    tools: Catalogue,
    is_scripted: bool,
) -> JsonObject:
    name, arguments = tools.tool_call_of_action(action)
    content = compact_json(tools.format_tool_result(observation))
    step: JsonObject = {
        "source": "agent",
        "message": "",
        "tool_calls": [{"tool_call_id": call_id, "function_name": name, "arguments": arguments}],
        "observation": {"results": [{"source_call_id": call_id, "content": content}]},
    }
    if is_scripted:  # for a model, the number of requests is not recorded
        step["llm_call_count"] = 0
    step["extra"] = {"reward": observation["reward"], "done": observation["done"]}
    return step
