"""Records the rollouts of a trainer in a folder, together with the conversation of each rollout.

The debugger lists the folder if `OPENENV_KIT_RUNS` names it. Each rollout is written in a single
operation when it ends, because other processes may read the folder or write to it at the same time.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session

DEFAULT_PLAYER_NAME = "model"
"""Name of the player in the recordings of a trainer that names no other."""
_UNSAFE_FILENAME_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+")

Message = dict[str, Any]


class RolloutRecorder:
    """Recorder of one rollout, which keeps its lines in memory until the rollout ends.

    Args:
        folder: folder to append the recording to; it is created if it does not exist.
        player_name: name of the player.
        environment: the environment.
        reset_arguments: arguments of the reset.
        reset_observation: observation of the reset.
        first_messages: messages that the model received before its first response.
    """

    def __init__(
        self,
        folder: Path | str,
        player_name: str,
        environment: Environment,
        reset_arguments: Mapping[str, Any],
        reset_observation: Mapping[str, Any],
        first_messages: Sequence[Message] = (),
    ) -> None:
        self._folder, self._player_name = Path(folder), player_name
        self._text = io.StringIO()
        self._recorder = RunRecorder(
            self._text, player_name, reset_arguments, reset_observation, environment
        )
        self._unrecorded_messages: list[Message] = list(first_messages)
        self._call_count = 0
        self._call_started_s = 0.0
        self._is_written = False

    def start_call(self, tool_name: str, arguments: Any, model_text: str = "") -> None:
        """Register a tool call of the model before it is executed.

        Args:
            tool_name: name of the tool.
            arguments: arguments of the call, which may be invalid.
            model_text: text that the model wrote with the call.
        """
        self._call_count += 1
        self._call_started_s = time.perf_counter()
        arguments_json = arguments if isinstance(arguments, str) else json.dumps(arguments)
        function = {"name": tool_name, "arguments": arguments_json}
        call = {"id": self._call_id, "type": "function", "function": function}
        message = {"role": "assistant", "content": model_text or None, "tool_calls": [call]}
        self._unrecorded_messages.append(message)

    def record_executed_call(
        self, action: Mapping[str, Any], observation: Mapping[str, Any], result: str
    ) -> None:
        """Record the step of the started call, and the result that the model receives."""
        elapsed_s = time.perf_counter() - self._call_started_s
        self._recorder.record_step(action, observation, elapsed_s, self._unrecorded_messages)
        self._unrecorded_messages = [self._build_result_message(result)]

    def record_rejected_call(self, result: str) -> None:
        """Record that the started call could not be converted into an action."""
        self._recorder.count_rejected_call()
        self._unrecorded_messages.append(self._build_result_message(result))

    def add_model_text(self, text: str) -> None:
        """Add a response of the model that contains no tool call."""
        self._unrecorded_messages.append({"role": "assistant", "content": text})

    def write_rollout(self, score: float | None, error: str = "") -> None:
        """Append the rollout to its file. Further calls do nothing.

        Args:
            score: final score in [0, 1]; None if the connection to the server was lost.
            error: reason why the rollout ended early; may be empty.
        """
        if self._is_written:
            return
        self._is_written = True
        self._recorder.record_end(
            score, self._recorder.last_observation, self._unrecorded_messages, error
        )
        append_rollout_to_folder(self._folder, self._player_name, self._text.getvalue())

    @property
    def _call_id(self) -> str:
        return f"call_{self._call_count}"

    def _build_result_message(self, result: str) -> Message:
        return {"role": "tool", "tool_call_id": self._call_id, "content": result}


def append_rollout_to_folder(folder: Path, player_name: str, lines: str) -> Path:
    """Append the lines of a rollout to the file of this player and process; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    name = _UNSAFE_FILENAME_CHARACTERS.sub("_", player_name).strip("._") or DEFAULT_PLAYER_NAME
    path = folder / f"{name}-{os.getpid()}.jsonl"
    # One write call appends the whole rollout, because a reader may list the folder meanwhile.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, lines.encode())
    finally:
        os.close(file)
    return path


def record_policy_rollout(
    environment: Environment,
    policy: Policy,
    reset_arguments: Mapping[str, Any],
    folder: Path | str,
    player_name: str = "",
) -> float:
    """Play an episode with a scripted policy, record it in a folder and return its score.

    Args:
        environment: the environment.
        policy: the policy.
        reset_arguments: arguments of the reset.
        folder: folder for the recording.
        player_name: name of the player in the recording; empty for the policy's name.

    Raises:
        RefusedResetError: the reset was rejected.
    """
    session, reply = start_session(environment, reset_arguments)
    name = player_name or policy.name
    text = io.StringIO()
    recorder = RunRecorder(text, name, reset_arguments, observation_from_reply(reply), environment)
    for step in iter_policy_steps(session, policy, reply):
        reply = step.reply
        recorder.record_step(step.action, observation_from_reply(reply))
    score = reply.reward or 0.0
    recorder.record_end(score, observation_from_reply(reply))
    append_rollout_to_folder(Path(folder), name, text.getvalue())
    return score
