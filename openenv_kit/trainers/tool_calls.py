"""One episode as models play it: named tools in, text out.

The tools are the analysis methods, as the registry declares them, and two ways to submit.
An answer is one line of JSON, so that a program can read it as well as a model.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import PayloadArguments
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.report import MAX_ROWS
from metric_tracker_rl.engine.rules import HIDDEN
from metric_tracker_rl.engine.session import COMPLETED
from metric_tracker_rl.rows import MethodSpec, MetricSubmissionRow
from openenv_kit.environment import ERROR
from openenv_kit.errors import (
    InvalidValueError,
    ServerError,
    ToolArgumentError,
    echo,
    unknown_name_message,
)
from openenv_kit.play.policies import Action, Observed, Policy
from openenv_kit.play.split_rows import reset_arguments
from openenv_kit.tools.schema import json_schema
from openenv_kit.trainers.players import InProcess, Player, Remote

SUBMIT_SOLUTION = "submit_solution"
SUBMIT_GENERATOR = "submit_payload_generator"

SUBMISSIONS = {
    SUBMIT_GENERATOR: ("generator_methods", "payload_generators"),
    SUBMIT_SOLUTION: ("rows", "classifications"),
}
"""By tool: the argument that holds what is submitted, and the action's field for it."""

SYSTEM_PROMPT = (
    "You are a product analyst. Some weeks of funnel data hold a few hidden anomalies. "
    "Investigate with the tools, then report every root, and no echo of one, with one call of "
    f"{SUBMIT_SOLUTION}. The report ends the episode and is scored from 0 to 1."
)

OVER = "The episode is over; this call changed nothing."
"""What a call after the end is told."""

_ANSWER_FIELDS = ("reward_breakdown", "submission_issues")


class ToolEpisode:
    """An episode played by tool calls, one at a time even when they come from several threads.

    The first final reward stands: once the episode is over, no further call changes `reward`
    or reaches the server, which may have forgotten the episode by then.

    Args:
        base_url: server to play on; None plays in this process.

    Attributes:
        reward: 0.0 until the episode is over, then its score in [0, 1].
        done: whether the episode is over.
        calls: tool calls made in this episode.
        lost: what became of the server, where it was lost in this episode: then the reward
            is no measurement. For trainers that hand a tool's error to the model and go on.
    """

    def __init__(self, base_url: str | None = None) -> None:
        self._player: Player = Remote(base_url) if base_url else InProcess()
        self.reward = 0.0
        self.done = False
        self.calls = 0
        self.lost: ServerError | None = None
        self._turn = threading.Lock()

    def reset(self, row: Mapping[str, Any]) -> str:
        """Start the episode of a dataset row; what the player is told first.

        Args:
            row: reset arguments, beside anything else a dataset row holds; other columns
                and empty ones are left out.

        Raises:
            InvalidValueError: the reset was refused; says why.
            ServerError: there is no server to play on.
        """
        arguments = reset_arguments(row)
        with self._turn:
            opening = self._player.reset(arguments)
            if opening["status"] == ERROR:
                raise InvalidValueError(
                    "reset", arguments, f"what a reset takes ({opening['message']})"
                )
            self.reward, self.done, self.calls, self.lost = 0.0, False, 0, None
        return opening_text(opening)

    def call(self, name: str, arguments: object) -> str:
        """Call a tool; its answer. A call that makes no sense is answered in words too.

        Raises:
            ServerError: the server was lost.
        """
        with self._turn:
            self.calls += 1
            if self.done:
                return _compact({"status": COMPLETED, "message": OVER})
            try:
                action = action_for(name, arguments)
            except ToolArgumentError as problem:
                return _compact({"status": ERROR, "message": str(problem)})
            try:
                observation = self._player.step(action)
            except ServerError as problem:
                self.lost = problem
                raise
            if observation["done"]:
                self.reward, self.done = float(observation["reward"] or 0.0), True
            return answer_text(observation)

    def close(self) -> None:
        """Leave the server, if there is one."""
        self._player.close()


def tool_specs() -> list[MethodSpec]:
    """Name, description and JSON Schema of every tool a model may call."""
    return [*TOOLS.catalogue(), *_submissions()]


def chat_tools() -> list[dict[str, Any]]:
    """Every tool in the form that chat templates and chat endpoints take."""
    return [
        {
            "type": "function",
            "function": {
                "name": spec.name,
                "description": spec.description,
                "parameters": spec.parameters,
            },
        }
        for spec in tool_specs()
    ]


def action_for(name: str, arguments: object) -> Action:
    """The action that a tool call means.

    Raises:
        ToolArgumentError: no tool has that name, or a submission lacks its list.
    """
    if name in SUBMISSIONS:
        field, kind = SUBMISSIONS[name]
        given = arguments if isinstance(arguments, Mapping) else {}
        if set(given) != {field} or not isinstance(given[field], list):
            raise ToolArgumentError(
                f"arguments of {name} are {echo(arguments)}; allowed: an object with the list "
                f"{field!r} and nothing else. Nothing was submitted."
            )
        return {kind: given[field]}
    if name not in TOOLS:
        raise ToolArgumentError(unknown_name_message("tool", name, [*TOOLS, *SUBMISSIONS]))
    return {"analysis_method": name, "analysis_args": arguments}


def tool_call_for(action: Action) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the tool call that means an action; inverse of `action_for`."""
    if "analysis_method" in action:
        return action["analysis_method"], dict(action.get("analysis_args", {}))
    if "payload_generators" in action:
        return SUBMIT_GENERATOR, {"generator_methods": action["payload_generators"]}
    return SUBMIT_SOLUTION, {"rows": action.get("classifications", [])}


def opening_text(opening: Observed) -> str:
    """What a player is told first: the task, the reporting policy and the episode's frame."""
    config = opening["config"]
    frame = {name: config[name] for name in ("start_date", "end_date", "days", "max_steps")}
    hidden = config.get("anomaly_count") == HIDDEN
    known = "" if hidden else f"The right report has {opening['expected_row_count']} rows. "
    return (
        f"{opening['instruction']}\n\nEpisode: {_compact(frame)}. {known}"
        f"Thresholds: {_compact(config['thresholds'])}."
    )


def answer_text(observation: Observed) -> str:
    """A reply as one line of JSON: status, message, and the result or the grade."""
    told: dict[str, Any] = {"status": observation["status"], "message": observation["message"]}
    if observation.get("analysis_result"):
        told["result"] = observation["analysis_result"]["result"]
    for name in _ANSWER_FIELDS:
        if observation.get(name):
            told[name] = observation[name]
    return _compact(told)


def read_answer(text: str) -> dict[str, Any]:
    """The observation behind an answer, as far as scripted policies read it."""
    told = json.loads(text)
    if "result" in told:
        told["analysis_result"] = {"result": told.pop("result")}
    return told


def next_call(
    policy: Policy, answers: Sequence[str], opening: Observed | None = None
) -> tuple[str, dict[str, Any]] | None:
    """The tool call a scripted policy makes next, given the answers so far: a model's stand-in.

    Stateless, like a model: the policy is played again from the start each time.

    Args:
        policy: who plays.
        answers: what its tool calls were answered with, in order.
        opening: the observation of the reset, for policies that read it.

    Returns:
        Name and arguments, or None where the policy has nothing left to do.
    """
    moves = policy.play(opening or {})
    try:
        action = next(moves)
        for answer in answers:
            action = moves.send(read_answer(answer))
    except StopIteration:
        return None
    finally:
        moves.close()
    return tool_call_for(action)


def _submissions() -> list[MethodSpec]:
    row = json_schema(MetricSubmissionRow, ORDERING_APP)
    rows = {
        "type": "array",
        "items": row,
        "maxItems": MAX_ROWS,
        "description": "every row of the report; empty for no anomaly",
    }
    return [
        MethodSpec(
            name=SUBMIT_GENERATOR,
            description="Submit what row generators find as the final report. Rows of dates that "
            "no method has shown you are invalid.",
            parameters=json_schema(PayloadArguments, ORDERING_APP),
        ),
        MethodSpec(
            name=SUBMIT_SOLUTION,
            description="Submit the final report. This ends the episode.",
            parameters={"type": "object", "properties": {"rows": rows}, "required": ["rows"]},
        ),
    ]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return value.model_dump()
