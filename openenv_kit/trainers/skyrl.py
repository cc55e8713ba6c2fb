"""SkyRL: a text environment for `skyrl_gym`, and its dataset.

SkyRL hands an environment the model's words and takes words back, so tool calls are read from
and answered in the tags that the Qwen family uses:

```
<tool_call>
{"name": "list_dates", "arguments": {}}
</tool_call>
```

`examples/skyrl/` holds an entry point and a training command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
from skyrl_gym.envs.registration import register, registry

from metric_tracker_rl.engine.rules import DEFAULT_MAX_STEPS
from openenv_kit.play.split_rows import reset_arguments, split_rows
from openenv_kit.trainers.tool_calls import SYSTEM_PROMPT, ToolEpisode, chat_tools

ENV_ID = "metric_tracker"
STOP = "</tool_call>"
"""Stop string for sampling: a turn is one call."""

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)

Messages = list[dict[str, str]]


class MetricTrackerEnv(BaseTextEnv):
    """One episode, played in text.

    Args:
        env_config: SkyRL's section for this environment; `base_url` names a server to play on.
        extras: the dataset row's other columns; `reset` holds the reset's arguments as JSON,
            `max_turns` is SkyRL's own.
    """

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        row = dict(extras or {})
        self.max_turns = int(row.get("max_turns", DEFAULT_MAX_STEPS))
        self._reset = json.loads(row["reset"])
        base_url = (env_config or {}).get("base_url")
        self._episode = ToolEpisode(base_url)
        self._over = False

    def init(self, prompt: Messages) -> tuple[Messages, dict[str, Any]]:
        """Start the episode; the row's prompt with the task behind its last message."""
        opening = self._episode.reset(self._reset)
        self._over = False
        last = {**prompt[-1], "content": prompt[-1]["content"] + opening}
        return [*prompt[:-1], last], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Read the turn's tool call, make it, and answer it.

        The first turn that ends the rollout is the last: a later one changes nothing.
        """
        if self._over:
            return self._output([], done=True)
        self.turns += 1
        found = _CALL.search(action)
        if found is None:
            # A turn without a call is the model's last word: nothing was submitted.
            return self._output([], done=True)
        answer = f"<tool_response>\n{self._answer(found[1])}\n</tool_response>"
        done = self._episode.done or self.turns >= self.max_turns
        return self._output([] if done else [{"role": "user", "content": answer}], done=done)

    def close(self) -> None:
        """Leave the server, if there is one."""
        self._episode.close()

    def get_metrics(self) -> dict[str, Any]:
        """Metrics of the finished episode."""
        return {
            "score": self._episode.reward,
            "submitted": float(self._episode.done),
            "tool_calls": self._episode.calls,
        }

    def _answer(self, text: str) -> str:
        try:
            call = json.loads(text)
            name, arguments = call["name"], call.get("arguments", {})
        except (ValueError, KeyError, TypeError, AttributeError):
            told = 'allowed: one JSON object {"name": …, "arguments": {…}} between the tags.'
            return json.dumps({"status": "error", "message": f"The tool call is no JSON; {told}"})
        return self._episode.call(str(name), arguments)

    def _output(self, observations: Messages, *, done: bool) -> BaseTextEnvStepOutput:
        self._over = done
        return BaseTextEnvStepOutput(
            observations=observations,
            reward=self._episode.reward,
            done=done,
            metadata={"tool_calls": self._episode.calls},
        )


def register_environment() -> None:
    """Make the environment known to `skyrl_gym` as `metric_tracker`, if it is not yet."""
    if ENV_ID in registry:
        return
    register(id=ENV_ID, entry_point=f"{__name__}:{MetricTrackerEnv.__name__}")


def dataset_rows(split: str, first: int = 0, count: int | None = None) -> list[dict[str, Any]]:
    """A split as SkyRL's dataset rows: `prompt`, `env_class` and the reset as JSON text.

    Args:
        split: name of the split.
        first: index of the first task.
        count: how many; None for all that follow.
    """
    tools = "\n".join(json.dumps(tool) for tool in chat_tools())
    system = (
        f"{SYSTEM_PROMPT}\n\n# Tools\n\nCall one tool a turn, as a JSON object between "
        '<tool_call> and </tool_call>: {"name": <tool>, "arguments": <object>}. The tools are:\n'
        f"<tools>\n{tools}\n</tools>"
    )
    prompt = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    return [
        {
            "prompt": prompt,
            "env_class": ENV_ID,
            "task": row["task"],
            "reset": json.dumps(reset_arguments(row)),
        }
        for row in split_rows(split, first, count)
    ]


def write_dataset(path: Path | str, split: str, first: int = 0, count: int | None = None) -> int:
    """Write `dataset_rows` as JSON Lines, which SkyRL reads; returns how many."""
    rows = dataset_rows(split, first, count)
    with Path(path).open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return len(rows)
