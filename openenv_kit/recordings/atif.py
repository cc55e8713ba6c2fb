"""Recorded runs in the Agent Trajectory Interchange Format (ATIF), which other tools read.

A recording holds actions and digests. The replies, which a trajectory tells in full, come from
playing the run again; one whose replies differ from the recorded ones is refused. What a model said
beside its calls, and its tokens, are not exported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.json_text import compact_json
from openenv_kit.recordings.format import RecordedRun, RecordingError
from openenv_kit.recordings.replay import iter_replayed_steps

ATIF_VERSION = "ATIF-v1.7"
ATIF_NOTES = "Played again from a recording of its actions; what the agent said is not exported."

JsonObject = dict[str, Any]


def build_atif_trajectory(run: RecordedRun, environment: Environment) -> JsonObject:
    """A run as an ATIF document.

    Raises:
        RecordingError: a reply is not the recorded one; names the step.
    """
    scripted = run.player.startswith("scripted:")
    steps: list[JsonObject] = []
    for number, (action, answer, same) in enumerate(iter_replayed_steps(run, environment)):
        if not same:
            where = f"step {number}" if number else "the reset"
            problem = f"The reply to {where} is not the recorded one; "
            raise RecordingError(problem + "use the release that recorded it.")
        if not number:
            tools = environment.tools.for_episode(answer)
            steps.append({"source": "system", "message": environment.system_prompt(answer)})
            steps.append(
                {"source": "user", "message": environment.tools.first_user_message(answer)}
            )
            continue
        name, arguments = tools.tool_call_of_action(action)
        call, content = f"call_{number}", compact_json(tools.format_tool_result(answer))
        steps.append(
            {
                "source": "agent",
                "message": "",
                "tool_calls": [
                    {"tool_call_id": call, "function_name": name, "arguments": arguments}
                ],
                "observation": {"results": [{"source_call_id": call, "content": content}]},
                # What a script does is no inference; of a model's answers nobody kept count.
                **({"llm_call_count": 0} if scripted else {}),
                "extra": {"reward": answer["reward"], "done": answer["done"]},
            }
        )
    agent: JsonObject = {
        "name": run.player,
        "version": environment.version,
        "tool_definitions": tools.chat_tools,
    }
    if not scripted:
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


def unique_run_names(runs: Iterable[RecordedRun]) -> Iterator[tuple[str, RecordedRun]]:
    """Runs with names for their files: the task, and a number where it was played before."""
    times = Counter[str]()
    for run in runs:
        times[run.task_name] += 1
        yield (
            run.task_name
            if times[run.task_name] == 1
            else f"{run.task_name}-e{times[run.task_name] - 1}",
            run,
        )
