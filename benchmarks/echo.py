"""A trivial environment on the same framework, to compare the real server with.

`python -m benchmarks.serving` measures both in one run, because a ratio can be compared between
machines and an absolute figure cannot. The trivial environment is served in two ways: by uvicorn
with default settings, as a user of the framework would serve it; and with `--tuned`, with the
settings of the real server, so that only the environment and its handler differ.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from openenv.core.env_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

from openenv_kit.serving.settings import load_settings
from openenv_kit.serving.workers import run_server

MAX_SESSIONS = 4096


class EchoAction(Action):
    """A text to send back."""

    message: str = ""


class EchoObservation(Observation):
    """The text of the action, and its length."""

    message: str = ""
    length: int = 0


class EchoEnvironment(Environment[EchoAction, EchoObservation, State]):
    """Returns the text of each action.

    The methods are asynchronous because the framework runs a synchronous step in a thread, which
    takes longer than this step does.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> EchoObservation:
        """Start counting steps from 0."""
        self._steps = 0
        return EchoObservation(message="ready")

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> EchoObservation:
        """Start counting steps from 0, on the event loop."""
        return self.reset(seed, episode_id, **kwargs)

    def step(
        self, action: EchoAction, timeout_s: float | None = None, **kwargs: Any
    ) -> EchoObservation:
        """Return the text of the action."""
        self._steps += 1
        return EchoObservation(message=action.message, length=len(action.message), reward=0.0)

    async def step_async(
        self, action: EchoAction, timeout_s: float | None = None, **kwargs: Any
    ) -> EchoObservation:
        """Return the text of the action, on the event loop."""
        return self.step(action, timeout_s, **kwargs)

    @property
    def state(self) -> State:
        """State with the number of steps."""
        return State(step_count=self._steps)


app = create_app(
    EchoEnvironment,
    EchoAction,
    EchoObservation,
    env_name="echo",
    max_concurrent_envs=MAX_SESSIONS,
)

if __name__ == "__main__":
    host, port, *flags = sys.argv[1:]
    if "--tuned" in flags:
        run_server(app, load_settings({}).model_copy(update={"host": host, "port": int(port)}))
    else:
        uvicorn.run(app, host=host, port=int(port))
