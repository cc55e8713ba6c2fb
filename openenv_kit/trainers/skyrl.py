"""SkyRL: a text environment for `skyrl_gym`, and its dataset.

SkyRL passes an environment the model's text and expects text back, so tool calls and answers
are written in the tags of the Qwen family:

```
<tool_call>
{"name": "list_dates", "arguments": {}}
</tool_call>
```

`examples/skyrl/` holds an entry point; `docs/training.md` has a training command.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from openenv_kit.datasets.row_values import (
    parse_json_object,
    require_row_mapping,
    to_int_if_whole,
    to_python_value,
)
from openenv_kit.datasets.split_rows import DEFAULT_SPLIT, list_task_rows, reset_arguments_from_row
from openenv_kit.datasets.task_sampling import add_default_split, has_task_selector
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_integer
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus
from openenv_kit.tool import Catalogue
from openenv_kit.trainers import require_package
from openenv_kit.trainers.text_tool_calls import find_tool_calls
from openenv_kit.trainers.tool_episode import ToolEpisode, message_texts

with require_package("openenv-metric-tracker-rl[skyrl]"):
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
    from skyrl_gym.envs.registration import register, registry

_TOOLS_PATTERN = re.compile(r"<tools>\n(.*)\n</tools>", re.DOTALL)

ChatMessages = list[dict[str, str]]


class TextEpisode(BaseTextEnv):
    """One episode, played in text.

    Args:
        env_config: SkyRL's section for this environment; `base_url` names a server to play on.
        extras: the dataset row's other columns; `reset` holds the reset's arguments as JSON,
            `max_turns` is SkyRL's own.
        environment: name of what is played.
    """

    def __init__(
        self,
        env_config: Any = None,
        extras: Mapping[str, Any] | None = None,
        environment: str | None = None,
    ) -> None:
        super().__init__()
        self._row = require_row_mapping(to_python_value(extras))
        base_url = to_python_value(require_row_mapping(to_python_value(env_config)).get("base_url"))
        self._episode = ToolEpisode(base_url, environment)
        max_turns = to_int_if_whole(self._row.get("max_turns"))
        if isinstance(max_turns, str) and max_turns.isdecimal():
            max_turns = int(max_turns)
        if max_turns is None:
            max_turns = self._episode.environment.episode_limits.max_steps
        self.max_turns = require_integer("max_turns", max_turns, 1, sys.maxsize)
        self._is_over = False

    def init(self, prompt: ChatMessages | None = None) -> tuple[ChatMessages, dict[str, Any]]:
        """Start the episode; returns the row's prompt with the task appended.

        A row without a reset starts another task of the train split each time. Rules and tools come
        first where the prompt lacks them.

        Raises:
            InvalidValueError: the reset was refused, or its episode has other tools than the
                prompt offers.
        """
        messages = [dict(message) for message in prompt or ()]
        said = "\n".join(message_texts(messages))
        offered_text = _TOOLS_PATTERN.search(said)
        tools = [json.loads(line) for line in offered_text[1].splitlines()] if offered_text else []
        offered = [tool["function"]["name"] for tool in tools]
        opening = self._episode.reset(self._row, offered)
        self._is_over = False
        has_task = has_task_selector(
            reset_arguments_from_row(self._row, self._episode.environment.name)
        )
        if self._episode.system_prompt not in said and not (has_task and said.strip()):
            rules = _add_tools_to_system_prompt(self._episode.system_prompt, self._episode.tools)
            if messages and messages[0]["role"] == "system":  # templates allow one of them
                rules += f"\n\n{messages.pop(0)['content']}"
            messages = [{"role": "system", "content": rules}, *messages]
        if messages[-1]["role"] == "system":
            messages.append({"role": "user", "content": ""})
        last = {**messages[-1], "content": messages[-1]["content"] + opening}
        return [*messages[:-1], last], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Make the turn's tool call and answer it. After the last turn nothing changes.

        Of several calls the last complete one counts. What stands in the model's thinking is not
        called.
        """
        if self._is_over:
            return self._build_step_output([], done=True)
        self.turns += 1
        calls = find_tool_calls(action)
        if calls.calls:
            answer = self._episode.call_tool(calls.calls[-1].name, calls.calls[-1].arguments)
        elif calls.has_unreadable_call:
            answer = _format_error_result(
                'The tool call cannot be read; allowed: one JSON object {"name": …, "arguments": '
                "{…}} between the tags."
            )
        elif calls.has_call_in_thinking:
            answer = _format_error_result(
                "The tool call stands in the thinking, so it was not made. End the thinking first, "
                "with </think>, and call a tool after it."
            )
        else:
            # The model stopped without submitting anything.
            return self._build_step_output([], done=True)
        said = f"<tool_response>\n{answer}\n</tool_response>"
        done = self._episode.is_done or self.turns >= self.max_turns
        return self._build_step_output(
            [] if done else [{"role": "user", "content": said}], done=done
        )

    def close(self) -> None:
        """Close the connection to the server, if there is one."""
        self._episode.close()

    def get_metrics(self) -> dict[str, Any]:
        """Metrics of the finished episode."""
        return {"score": self._episode.reward, **self._episode.metrics}

    def _build_step_output(
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
    """Register an environment with `skyrl_gym`, unless it is; returns its name, the `env_class`."""
    name = get_environment(environment).name
    if name not in registry:
        point = f"{__name__}:{TextEpisode.__name__}"
        register(id=name, entry_point=point, kwargs={"environment": name})
    return name


def build_dataset_rows(
    split: str | None = DEFAULT_SPLIT,
    first: int | None = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> list[dict[str, Any]]:
    """SkyRL's dataset rows: `prompt`, `env_class` and the reset as JSON text; see `list_task_rows`.

    `openenv_kit.datasets.split_rows.write_rows` writes them as SkyRL reads them.
    """
    found = get_environment(environment)
    rows = list_task_rows(split, first, count, found.name, reset, level)
    chosen = {"split": split, "difficulty": level, **parse_json_object("reset", reset)}
    played = {name: value for name, value in chosen.items() if to_python_value(value) is not None}
    played = add_default_split(found, played)
    system = _add_tools_to_system_prompt(
        found.system_prompt(played), found.tools.for_episode(played)
    )
    prompt = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    return [
        {
            "prompt": prompt,
            "env_class": found.name,
            "task": row["task"],
            "reset": json.dumps(reset_arguments_from_row(row, found.name)),
        }
        for row in rows
    ]


def _add_tools_to_system_prompt(system_prompt: str, tools: Catalogue) -> str:
    """Return the first message: the rules and the tools, with how to call one."""
    listed = "\n".join(json.dumps(tool) for tool in tools.chat_tools)
    return (
        f"{system_prompt}\n\n# Tools\n\nCall one tool a turn, as a JSON object between "
        '<tool_call> and </tool_call>: {"name": <tool>, "arguments": <object>}. The tools are:\n'
        f"<tools>\n{listed}\n</tools>"
    )


def _format_error_result(message: str) -> str:
    """Return the answer to a turn whose call was not made."""
    return compact_json({"status": ReplyStatus.ERROR, "message": message})
