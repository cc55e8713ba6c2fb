"""A trivial environment on the same framework: what a step costs before anyone does any work.

`python -m benchmarks.serving` measures it beside the real one, in one run, because a figure of
one machine at one hour says little and a ratio travels. It is served twice: by uvicorn with
nothing set but where to listen, which is what a framework's user gets; and with `--tuned` in
every way as the real one is, so that what is left is the environment and its handler.
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
    """Text to send back."""

    message: str = ""


class EchoObservation(Observation):
    """The text, and how long it is."""

    message: str = ""
    length: int = 0


class EchoEnvironment(Environment[EchoAction, EchoObservation, State]):
    """Answers each message with itself, on the event loop: the cheapest step there can be.

    The framework would run a synchronous step in a thread, which costs more than this one does.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> EchoObservation:
        """Start counting again."""
        self._steps = 0
        return EchoObservation(message="ready")

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> EchoObservation:
        """As `reset`, on the event loop."""
        return self.reset(seed, episode_id, **kwargs)

    def step(
        self, action: EchoAction, timeout_s: float | None = None, **kwargs: Any
    ) -> EchoObservation:
        """The message, back."""
        self._steps += 1
        return EchoObservation(message=action.message, length=len(action.message), reward=0.0)

    async def step_async(
        self, action: EchoAction, timeout_s: float | None = None, **kwargs: Any
    ) -> EchoObservation:
        """As `step`, on the event loop."""
        return self.step(action, timeout_s, **kwargs)

    @property
    def state(self) -> State:
        """How many steps were taken."""
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
