"""SkyRL: a text environment for `skyrl_gym`, and its dataset.

SkyRL passes the model's response to an environment as a string and expects a string in return. Tool
calls and tool results are therefore written as text, between the tags that Qwen models use:

```
<tool_call>
{"name": "list_dates", "arguments": {}}
</tool_call>
```

`examples/skyrl/` contains an entry point, and `docs/training.md` a training command.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from openenv_kit.catalogue import Catalogue
from openenv_kit.datasets.row_values import (
    convert_row_to_mapping,
    convert_to_python_value,
    convert_whole_number_to_int,
    parse_json_object_of_column,
)
from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, list_task_rows, reset_arguments_from_row
from openenv_kit.datasets.task_sampling import add_default_split, has_task_selector
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_integer
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.rollouts.token_limits import warn_if_context_too_small
from openenv_kit.trainers import explain_missing_package
from openenv_kit.trainers.chat_messages import list_message_texts
from openenv_kit.trainers.text_tool_calls import parse_tool_calls_in_text
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.truncation import TRUNCATED_METRIC

with explain_missing_package("openenv-metric-tracker-rl[skyrl]"):
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
    from skyrl_gym.envs.registration import register, registry

_TOOLS_PATTERN = re.compile(r"<tools>\n(.*)\n</tools>", re.DOTALL)

ChatMessages = list[dict[str, str]]


class TextEpisode(BaseTextEnv):
    """One episode that is played with tool calls written as text.

    Args:
        env_config: SkyRL's configuration of this environment; `base_url` is the URL of the server
            to play on, and `record` a folder in which every episode is recorded.
        extras: other columns of the dataset row; `reset` contains the reset arguments as JSON.
            SkyRL adds `max_turns`.
        environment: name of the environment.
    """

    def __init__(
        self,
        env_config: Any = None,
        extras: Mapping[str, Any] | None = None,
        environment: str | None = None,
    ) -> None:
        super().__init__()
        self._row = convert_row_to_mapping(convert_to_python_value(extras))
        settings = convert_row_to_mapping(convert_to_python_value(env_config))
        self._episode = ToolEpisode(
            convert_to_python_value(settings.get("base_url")),
            environment,
            record=convert_to_python_value(settings.get("record")),
        )
        max_turns = convert_whole_number_to_int(self._row.get("max_turns"))
        if isinstance(max_turns, str) and max_turns.isdecimal():
            max_turns = int(max_turns)
        if max_turns is None:
            max_turns = self._episode.environment.episode_limits.max_steps
        self.max_turns = require_integer("max_turns", max_turns, 1, sys.maxsize)
        self._is_over = self._has_stopped = False

    def init(self, prompt: ChatMessages | None = None) -> tuple[ChatMessages, dict[str, Any]]:
        """Start the episode; return the row's prompt with the first user message appended.

        A row without reset arguments starts a different task of the train split each time. If the
        prompt does not contain the system prompt and the tools, they are inserted at its start.

        Raises:
            InvalidValueError: the reset was rejected, or the tools in the prompt are not the tools
                of the episode.
        """
        messages = [dict(message) for message in prompt or ()]
        prompt_text = "\n".join(list_message_texts(messages))
        first_user_message = self._episode.reset(
            self._row, _parse_tool_names_of_prompt(prompt_text)
        )
        self._is_over = self._has_stopped = False
        has_task = has_task_selector(
            reset_arguments_from_row(self._row, self._episode.environment.name)
        )
        is_dataset_prompt = has_task and prompt_text.strip() != ""
        if self._episode.system_prompt not in prompt_text and not is_dataset_prompt:
            system_prompt = _add_tools_to_system_prompt(
                self._episode.system_prompt, self._episode.tools
            )
            # Chat templates allow only one system message.
            if messages and messages[0]["role"] == "system":
                system_prompt += f"\n\n{messages.pop(0)['content']}"
            messages = [{"role": "system", "content": system_prompt}, *messages]
        if messages[-1]["role"] == "system":
            messages.append({"role": "user", "content": ""})
        messages[-1]["content"] += first_user_message
        return messages, {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Execute the tool call in the model's response and return the tool result.

        If the response contains several calls, the last valid one is executed. Calls in a thinking
        section are not executed. After the last turn, nothing is executed.
        """
        if self._is_over:
            return self._store_done_and_build_output([], done=True)
        self.turns += 1
        parsed = parse_tool_calls_in_text(action)
        if not parsed.calls:
            self._episode.record_text_without_call(action)
        if parsed.calls:
            call = parsed.calls[-1]
            result = self._episode.call_tool(call.name, call.arguments, action)
        elif parsed.has_unreadable_call:
            result = _format_error_result(
                'The tool call cannot be read; allowed: one JSON object {"name": …, "arguments": '
                "{…}} between the tags."
            )
        elif parsed.has_call_in_thinking:
            result = _format_error_result(
                "The tool call is inside the thinking, so it was not executed. End the thinking "
                "first, with </think>, and call a tool after it."
            )
        else:  # the model stopped without submitting anything
            self._has_stopped = True
            return self._store_done_and_build_output([], done=True)
        if self._episode.is_done or self.turns >= self.max_turns:
            return self._store_done_and_build_output([], done=True)
        content = f"<tool_response>\n{result}\n</tool_response>"
        return self._store_done_and_build_output([{"role": "user", "content": content}], done=False)

    def close(self) -> None:
        """Close the connection to the server, if one is open."""
        self._episode.close()

    def get_metrics(self) -> dict[str, Any]:
        """Return the score and the metrics of the episode.

        `truncated` is 1 if the turn limit or the generator's token limit ended the episode.
        """
        is_truncated = not self._episode.is_done and not self._has_stopped
        return {
            "score": self._episode.reward,
            TRUNCATED_METRIC: float(is_truncated),
            **self._episode.metrics,
        }

    def _store_done_and_build_output(
        self, observations: ChatMessages, *, done: bool
    ) -> BaseTextEnvStepOutput:
        self._is_over = done
        return BaseTextEnvStepOutput(
            observations=observations,
            reward=self._episode.reward,
            done=done,
            metadata={"tool_calls": self._episode.tool_call_count, **self._episode.info},
        )


def register_environment(environment: str | None = None) -> str:
    """Register an environment with `skyrl_gym` if needed; return its name (`env_class`)."""
    name = get_environment(environment).name
    if name not in registry:
        entry_point = f"{__name__}:{TextEpisode.__name__}"
        register(id=name, entry_point=entry_point, kwargs={"environment": name})
    return name


def build_dataset_rows(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
    context_tokens: int | None = None,
) -> list[dict[str, Any]]:
    """Return dataset rows for SkyRL, with `prompt`, `env_class` and the reset arguments as JSON.

    `list_task_rows` describes the parameters. `openenv_kit.datasets.split_rows.write_rows` writes
    the rows in SkyRL's format. If `context_tokens`, the largest number of tokens of a rollout
    (`generator.max_input_length`), is too small for a level, a warning is logged.
    """
    resolved_environment = get_environment(environment)
    rows = list_task_rows(split, first, count, resolved_environment.name, reset, level)
    warn_if_context_too_small(rows, resolved_environment.name, context_tokens)
    selection = {"split": split, "difficulty": level, **parse_json_object_of_column("reset", reset)}
    reset_fields = add_default_split(
        resolved_environment,
        {
            name: value
            for name, value in selection.items()
            if convert_to_python_value(value) is not None
        },
    )
    system_prompt = _add_tools_to_system_prompt(
        resolved_environment.build_system_prompt(reset_fields),
        resolved_environment.tools.select_for_episode(reset_fields),
    )
    prompt = [{"role": "system", "content": system_prompt}, {"role": "user", "content": ""}]
    return [
        {
            "prompt": prompt,
            "env_class": resolved_environment.name,
            "task": row["task"],
            "reset": json.dumps(reset_arguments_from_row(row, resolved_environment.name)),
        }
        for row in rows
    ]


def _parse_tool_names_of_prompt(prompt_text: str) -> list[str]:
    """Return the names of the tools that a prompt lists; empty if it lists no tools."""
    tools_section = _TOOLS_PATTERN.search(prompt_text)
    if tools_section is None:
        return []
    return [json.loads(line)["function"]["name"] for line in tools_section[1].splitlines()]


def _add_tools_to_system_prompt(system_prompt: str, tools: Catalogue) -> str:
    """Append the tools, and instructions for calling them, to a system prompt."""
    tool_lines = "\n".join(json.dumps(tool) for tool in tools.chat_tools)
    return (
        f"{system_prompt}\n\n# Tools\n\nCall one tool a turn, as a JSON object between "
        '<tool_call> and </tool_call>: {"name": <tool>, "arguments": <object>}. The tools are:\n'
        f"<tools>\n{tool_lines}\n</tools>"
    )


def _format_error_result(message: str) -> str:
    """Return the tool result for a call that was not executed."""
    return compact_json({"status": ReplyStatus.ERROR, "message": message})
