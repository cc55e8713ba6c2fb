"""Recorded runs in the Agent Trajectory Interchange Format (ATIF), which other tools read.

A recording holds actions and digests. The replies, which a trajectory tells in full, come from
playing the run again; one whose replies differ from the recorded ones is refused. What a model said
beside its calls, and its tokens, were never recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import RecordedRun, RecordingError, digest_of
from openenv_kit.tools.catalogue import compact

ATIF_VERSION = "ATIF-v1.7"
NOTES = "Played again from a recording of its actions; what the agent said was not recorded."

Json = dict[str, Any]


def trajectory(run: RecordedRun, environment: Environment) -> Json:
    """A run as an ATIF document.

    Raises:
        RecordingError: a reply is not the recorded one; names the step.
    """
    session = environment.session()
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
    reply = session.reset(**reset)
    _check(0, observed(reply), run.digest)
    opening = environment.observation(reply, session.task_id)
    tools = environment.tools.offered(opening)
    steps: list[Json] = [
        {"source": "system", "message": environment.brief(opening)},
        {"source": "user", "message": environment.introduction(opening)},
    ]
    scripted = run.player.startswith("scripted:")
    for number, recorded in enumerate(run.steps, start=1):
        reply = session.step(recorded.action)
        _check(number, observed(reply), recorded.digest)
        name, arguments = tools.called(recorded.action)
        answer = compact(tools.answer(environment.observation(reply, session.task_id)))
        call = f"call_{number}"
        steps.append(
            {
                "source": "agent",
                "message": "",
                "tool_calls": [
                    {"tool_call_id": call, "function_name": name, "arguments": arguments}
                ],
                "observation": {"results": [{"source_call_id": call, "content": answer}]},
                # What a script does is no inference; of a model's answers nobody kept count.
                **({"llm_call_count": 0} if scripted else {}),
                "extra": {"reward": recorded.reward, "done": recorded.done},
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


def named(runs: Iterator[RecordedRun] | list[RecordedRun]) -> Iterator[tuple[str, RecordedRun]]:
    """Runs with names for their files: the task, and a number where it was played before."""
    times: dict[str, int] = {}
    for run in runs:
        task = _task(run.reset)
        times[task] = times.get(task, 0) + 1
        yield task if times[task] == 1 else f"{task}-e{times[task] - 1}", run


def _task(reset: Mapping[str, Any]) -> str:
    if "split" in reset:
        return f"{reset['split']}-{reset.get('index', 0)}"
    return str(reset.get("task_id", "custom"))


def _check(number: int, answer: Mapping[str, Any], digest: str) -> None:
    if digest_of(answer) != digest:
        where = f"step {number}" if number else "the reset"
        raise RecordingError(
            f"The reply to {where} is not the recorded one; use the release that recorded it."
        )
