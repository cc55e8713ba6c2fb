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
from openenv_kit.recordings.format import RecordedRun, RecordingError
from openenv_kit.recordings.replay import replay
from openenv_kit.tool import compact

ATIF_VERSION = "ATIF-v1.7"
NOTES = "Played again from a recording of its actions; what the agent said is not exported."

Json = dict[str, Any]


def trajectory(run: RecordedRun, environment: Environment) -> Json:
    """A run as an ATIF document.

    Raises:
        RecordingError: a reply is not the recorded one; names the step.
    """
    scripted = run.player.startswith("scripted:")
    steps: list[Json] = []
    for number, (action, answer, same) in enumerate(replay(run, environment)):
        if not same:
            where = f"step {number}" if number else "the reset"
            problem = f"The reply to {where} is not the recorded one; "
            raise RecordingError(problem + "use the release that recorded it.")
        if not number:
            tools = environment.tools.offered(answer)
            steps.append({"source": "system", "message": environment.brief(answer)})
            steps.append({"source": "user", "message": environment.tools.introduction(answer)})
            continue
        name, arguments = tools.called(action)
        call, content = f"call_{number}", compact(tools.answer(answer))
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
    agent: Json = {
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
        "notes": NOTES,
        "final_metrics": {"total_steps": len(steps), "extra": {"score": run.score}},
        "extra": {
            "environment": environment.name,
            "reset": run.reset,
            "versions": run.versions,
        },
    }


def named(runs: Iterable[RecordedRun]) -> Iterator[tuple[str, RecordedRun]]:
    """Runs with names for their files: the task, and a number where it was played before."""
    times = Counter[str]()
    for run in runs:
        times[run.task] += 1
        yield run.task if times[run.task] == 1 else f"{run.task}-e{times[run.task] - 1}", run
