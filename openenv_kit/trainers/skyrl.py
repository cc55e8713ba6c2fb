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
from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import ERROR, get_environment
from openenv_kit.play.split_rows import reset_arguments, split_rows
from openenv_kit.tool import compact
from openenv_kit.trainers import installed_by
from openenv_kit.trainers.tool_calls import ToolEpisode

with installed_by("openenv-metric-tracker-rl[skyrl]"):
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
    from skyrl_gym.envs.registration import register, registry

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_TOOLS = re.compile(r"<tools>\n(.*)\n</tools>", re.DOTALL)

Messages = list[dict[str, str]]


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
        row = dict(extras or {})
        self._episode = ToolEpisode((env_config or {}).get("base_url"), environment)
        self._reset = json.loads(row["reset"])
        played = self._episode.environment
        self.max_turns = int(row.get("max_turns", played.rules.max_steps))
        self._over = False

    def init(self, prompt: Messages) -> tuple[Messages, dict[str, Any]]:
        """Start the episode; returns the row's prompt with the task appended.

        Raises:
            InvalidValueError: the reset was refused, or its episode has other tools than the
                prompt offers.
        """
        offered_text = _TOOLS.search(prompt[0]["content"])
        tools = [json.loads(line) for line in offered_text[1].splitlines()] if offered_text else []
        offered = [tool["function"]["name"] for tool in tools]
        opening = self._episode.reset(self._reset, offered)
        self._over = False
        last = {**prompt[-1], "content": prompt[-1]["content"] + opening}
        return [*prompt[:-1], last], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Make the turn's tool call and answer it. After the last turn nothing changes."""
        if self._over:
            return self._output([], done=True)
        self.turns += 1
        found = _CALL.search(action)
        if found is None:
            # The model stopped without submitting anything.
            return self._output([], done=True)
        answer = f"<tool_response>\n{self._answer(found[1])}\n</tool_response>"
        done = self._episode.done or self.turns >= self.max_turns
        return self._output([] if done else [{"role": "user", "content": answer}], done=done)

    def close(self) -> None:
        """Close the connection to the server, if there is one."""
        self._episode.close()

    def get_metrics(self) -> dict[str, Any]:
        """Metrics of the finished episode."""
        return {"score": self._episode.reward, **self._episode.metrics}

    def _answer(self, text: str) -> str:
        try:
            call = json.loads(text)
            name, arguments = call["name"], call.get("arguments", {})
        except (ValueError, KeyError, TypeError, AttributeError):
            allowed = 'one JSON object {"name": …, "arguments": {…}} between the tags'
            problem = f"The tool call cannot be read; allowed: {allowed}."
            return compact({"status": ERROR, "message": problem})
        return self._episode.call(str(name), arguments)

    def _output(self, observations: Messages, *, done: bool) -> BaseTextEnvStepOutput:
        self._over = done
        return BaseTextEnvStepOutput(
            observations=observations,
            reward=self._episode.reward,
            done=done,
            metadata={"tool_calls": self._episode.calls, **self._episode.info},
        )


def register_environment(environment: str | None = None) -> str:
    """Register an environment with `skyrl_gym`, unless it is; returns its name, the `env_class`."""
    name = get_environment(environment).name
    if name not in registry:
        point = f"{__name__}:{TextEpisode.__name__}"
        register(id=name, entry_point=point, kwargs={"environment": name})
    return name


def dataset_rows(
    split: str,
    first: int = 0,
    count: int | None = None,
    environment: str | None = None,
    reset: Mapping[str, Any] | None = None,
    level: str | None = None,
) -> list[dict[str, Any]]:
    """SkyRL's dataset rows: `prompt`, `env_class` and the reset as JSON text; see `split_rows`.

    `openenv_kit.play.split_rows.write_rows` writes them as SkyRL reads them.
    """
    found = get_environment(environment)
    played = {"split": split, **({"difficulty": level} if level else {}), **(reset or {})}
    tools = "\n".join(json.dumps(tool) for tool in found.tools.offered(played).chat_tools)
    system = (
        f"{found.brief(played)}\n\n# Tools\n\nCall one tool a turn, as a JSON object between "
        '<tool_call> and </tool_call>: {"name": <tool>, "arguments": <object>}. The tools are:\n'
        f"<tools>\n{tools}\n</tools>"
    )
    prompt = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    return [
        {
            "prompt": prompt,
            "env_class": found.name,
            "task": row["task"],
            "reset": json.dumps(reset_arguments(row, found.name)),
        }
        for row in split_rows(split, first, count, found.name, reset, level)
    ]
