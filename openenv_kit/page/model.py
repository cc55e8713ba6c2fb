"""Watching a model behind an OpenAI-compatible endpoint, played by the kit's own agent.

The model plays in a thread of its own and waits for the visitor: it is never more than a move
ahead, so that nobody pays for moves that nobody watches. Its key is kept in the settings of this
play and dropped with them; it is cut out of replies before they reach the page, and the endpoint's
own words about a failure never reach it. The number of models playing at once is limited, and a
model that nobody watches any more is stopped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python

from openenv_kit.agent.connection import Observation
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.table import Event, Table
from openenv_kit.environment import ERROR, Environment, Reply, Session, get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError, KitError, ModelError
from openenv_kit.page.visitor_client import VisitorClient, endpoint_url
from openenv_kit.page.visitor_endpoint import VisitorEndpoint
from openenv_kit.page.watching import MAX_FRAMES, Frame, Playback, open_session, took_ms
from openenv_kit.serving.settings import settings as server_settings

AHEAD = 1
"""Moves that a model may be ahead of the visitor."""
POLL_S = 0.05
TIMEOUT_S = 120.0
MAX_ROUNDS = 32
MAX_TEXT = 1024
"""Longest key and model name, in characters."""
PATIENCE_S = 600.0
"""How long a model waits for a visitor who does not look at its next move."""

LIMIT = re.compile(r"[A-Z]+_[A-Z_]+ \((\d+)\)")
SETTING = re.compile(r" \([A-Z]+_[A-Z_]+\)")

logger = logging.getLogger("metric_tracker.web")


@cache
def seats() -> threading.BoundedSemaphore:
    """One for each model that may play at once; each of them is a thread."""
    return threading.BoundedSemaphore(server_settings().max_watched_models)


class ModelPlayback(Playback):
    """A model's play; frames arrive when the model has made its move.

    Args:
        settings: of the agent, with key, endpoint and model.
        reset: arguments that make the episode.
        environment: what is played; None for the one that ENVIRONMENT names.

    Raises:
        ConfigurationError: the reset makes no episode, or too many models are being watched.
    """

    def __init__(
        self,
        settings: AgentSettings,
        reset: Mapping[str, Any],
        environment: Environment | None = None,
    ) -> None:
        self._seats = seats()
        if not self._seats.acquire(blocking=False):
            raise ConfigurationError(
                f"{server_settings().max_watched_models} model(s) are being watched on this "
                "server, the most at once; try again in a few minutes."
            )
        try:
            played = environment or get_environment()
            session, reply = open_session(reset, played)
            opening = _received(played, session, reply)
            frames = iter([Frame({}, opening)])
            super().__init__(str(settings.model), session, frames, reset, played)
            self._settings = settings
            self._opening = opening
            self._words = self._reasoning = ""
            self._facts: dict[str, str] = {}
            self._loop = asyncio.new_event_loop()
            self._task: asyncio.Task[None] | None = None
            self._thread = threading.Thread(target=self._play_in_thread, daemon=True)
            self._thread.start()
        except BaseException:
            self._seats.release()
            raise

    @property
    def waiting(self) -> bool:  # type: ignore[override]
        """Whether moves are still to come that the visitor should be shown."""
        return not self.finished and (self.hurried or self.at == len(self.frames) - 1)

    def advance(self) -> None:
        """Look at the next frame if the model has made it."""
        if self.at + 1 < len(self.frames):
            self.at += 1

    def run_to_end(self) -> None:
        """Let the model play on without waiting for the visitor, who is shown its last move."""
        self.hurried = True

    def go(self, index: int) -> None:
        """Look at a frame; from then on the model waits for the visitor again."""
        self.hurried = False
        super().go(index)

    def close(self) -> None:
        """Stop the model."""
        self.finished = True
        task = self._task
        if task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(task.cancel)

    async def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """One step of the agent, taken once the visitor has caught up."""
        began = time.monotonic()
        while not self.hurried and len(self.frames) - 1 - self.at > AHEAD:
            if time.monotonic() - began > PATIENCE_S:
                raise ModelError("The model was stopped: nobody looked at its moves any more.")
            await asyncio.sleep(POLL_S)
        # Without lone surrogates, which no page can be sent.
        text = json.dumps(action, ensure_ascii=False).encode("utf-8", "replace")
        played: dict[str, Any] = json.loads(text)
        begun = time.perf_counter()
        reply = self.session.step(played)
        took = time.perf_counter() - begun
        answer = _received(self.environment, self.session, reply)
        self._append(played, answer, took=took)
        return answer

    def heard(self, answer: Event, facts: dict[str, str]) -> None:
        """Keep what the model said for its next move; shown at once if it makes none."""
        self._words, self._reasoning, self._facts = answer.words, answer.reasoning, facts
        if (answer.words or answer.reasoning) and not answer.calls:
            self._append({}, {"status": "said"})

    def refused(self, name: str, arguments: object, problem: str) -> None:
        """Show a call that could not be made into an action, as the model made it."""
        call = (name or "unnamed", arguments)
        self._append({}, {"status": ERROR, "message": problem}, refused=call)

    def _append(
        self,
        action: Mapping[str, Any],
        answer: Mapping[str, Any],
        *,
        refused: tuple[str, object] | None = None,
        took: float = 0.0,
    ) -> None:
        """Add a frame, with what the model said last if this is its first move since."""
        if len(self.frames) >= MAX_FRAMES:
            raise ModelError(f"The model was stopped after {MAX_FRAMES} calls.")
        words, self._words = self._words, ""
        reasoning, self._reasoning = self._reasoning, ""
        facts, self._facts = {**self._facts, **took_ms(took)}, {}
        self.frames.append(Frame(action, answer, None, words, refused, facts, took, reasoning))

    def _play_in_thread(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._task = self._loop.create_task(self._play())
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception:
            logger.exception("a watched model's play broke off")
            self.remark = "The play broke off through a fault of this server, not of the model."
        finally:
            self.finished = True
            self._loop.close()
            self._seats.release()

    async def _play(self) -> None:
        from openenv_kit.agent.model_player import ModelPlayer  # loads openai

        settings, allow_private = self._settings, server_settings().private_endpoints
        client = VisitorClient(
            endpoint_url(str(settings.api_base_url), allow_private=allow_private),
            str(settings.api_key),
            timeout_s=settings.model_timeout_s,
            allow_private=allow_private,
        )
        endpoint = VisitorEndpoint(settings, client)
        player = ModelPlayer(settings, endpoint)
        table = WatchedTable(self, self._opening, endpoint)
        try:
            await player.play(table)
            self.remark = without_settings(table.note)
        except KitError as problem:
            self.remark = without_settings(str(problem))
        finally:
            await player.close()
            del self._settings


class _NoLines:
    """Takes the place of the lines on standard output; prints nothing."""

    def step(self, *_: object) -> None:
        """Do nothing."""


class WatchedTable(Table):
    """The agent's table, which passes what the model says and calls on to the page."""

    def __init__(
        self, watched: ModelPlayback, opening: Observation, endpoint: VisitorEndpoint
    ) -> None:
        super().__init__(watched.environment, watched, _NoLines(), opening)  # type: ignore[arg-type]
        self._watched = watched
        self._endpoint = endpoint

    def hear(self, answer: Event) -> None:
        """Show what the model said, and what it took."""
        super().hear(answer)
        facts = {"model": f"{answer.duration_s:.1f} s"}
        if self.usage.last_call_tokens:
            facts["tokens"] = f"{self.usage.last_call_tokens:,}"
        if self.usage.cost is not None:
            facts["cost so far"] = f"${self.usage.cost:.4f}"
        if self._endpoint.retried:
            facts["asked again"] = f"{self._endpoint.retried} time(s)"
        self._watched.heard(answer, facts)

    def refuse(self, name: str, arguments: Mapping[str, Any] | str, problem: str) -> None:
        """Show the call that was refused."""
        super().refuse(name, arguments, problem)
        self._watched.refused(name, arguments, without_settings(problem))


def _received(environment: Environment, session: Session, reply: Reply) -> dict[str, Any]:
    """A reply as a client would receive it."""
    full = environment.observation(reply, session.task_id)
    received: dict[str, Any] = to_jsonable_python(
        {**full, "reward": reply.reward, "done": reply.done}
    )
    return received


def without_settings(text: str) -> str:
    """A text without names of settings, which nobody can change from the page."""
    return SETTING.sub("", LIMIT.sub(r"\1 tokens", text))


def model_settings(url: str, key: str, model: str) -> AgentSettings:
    """The agent's settings for one visitor's endpoint.

    Raises:
        InvalidValueError: a missing or overlong key or model, or an endpoint that is not a URL.
        ModelError: the endpoint has a private address.
    """
    key, model = key.strip(), model.strip()
    if not key:
        raise InvalidValueError("key", "", "the endpoint's key; any text where it needs none")
    if not (key.isascii() and key.isprintable() and len(key) <= MAX_TEXT):
        # Not echoed: it may be a secret, pasted with something else.
        raise InvalidValueError("key", "…", f"printable ASCII, at most {MAX_TEXT} characters")
    if not model or len(model) > MAX_TEXT:
        raise InvalidValueError("model", model, "the model's name as the endpoint knows it")
    allow_private = server_settings().private_endpoints
    return AgentSettings(
        api_key=key,
        key_variable="the key",
        api_base_url=str(endpoint_url(url.strip(), allow_private=allow_private)),
        model=model,
        max_tool_rounds=MAX_ROUNDS,
        model_timeout_s=TIMEOUT_S,
        model_retries=1,
        secrets=(key,),
    )
