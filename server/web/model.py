"""Watching a model behind an OpenAI-compatible endpoint play, with the agent that ships here.

The model plays in a thread of its own and waits for the visitor: it is never more than a move
ahead, so that nobody pays for moves that nobody watches. Its key lives in the settings of this
play alone and ends with it; replies and errors reach the page with the key cut out of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from metric_tracker_rl.errors import ConfigurationError, InvalidValueError, MetricTrackerError
from server.environment import MetricTrackerRlEnvironment
from server.web.watching import Frame, Playback, open_session
from server.wire import WireAction

AHEAD = 1
"""Moves that a model may be ahead of the visitor."""
POLL_S = 0.05
TIMEOUT_S = 120.0
MAX_ROUNDS = 32


class ModelPlayback(Playback):
    """A model's play; frames arrive when the model has made its move.

    Args:
        settings: of the agent, with key, endpoint and model.
        reset: arguments that make the episode.

    Raises:
        ConfigurationError: the reset makes no episode.
    """

    def __init__(self, settings: Any, reset: Mapping[str, Any]) -> None:
        _, view = open_session(reset)
        self._environment = MetricTrackerRlEnvironment(debug=False)
        opening = self._environment.reset(**reset).model_dump(mode="json")
        super().__init__(str(settings.model), view, iter([Frame({}, opening)]))
        self._settings = settings
        self._opening = opening
        self._words = ""
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._play_in_thread, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> bool:
        """Whether there are moves to come, and the visitor is to be shown them."""
        return not self.finished and (self.hurried or self.at == len(self.frames) - 1)

    def advance(self) -> None:
        """Look at the next frame if the model has made it."""
        if self.at + 1 < len(self.frames):
            self.at += 1

    def run_to_end(self) -> None:
        """Let the model play on without waiting for the visitor, who follows its last move."""
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
        """One step, when the visitor is near enough; what the agent calls its connection."""
        while not self.hurried and len(self.frames) - 1 - self.at > AHEAD:
            await asyncio.sleep(POLL_S)
        observation = self._environment.step(WireAction.model_validate(dict(action)))
        answer: dict[str, Any] = observation.model_dump(mode="json")
        self.frames.append(Frame(dict(action), answer, words=self._take_words()))
        return answer

    def heard(self, words: str, calls: int) -> None:
        """Keep what the model said for its next move; shown at once if it makes none."""
        self._words = words
        if words and not calls:
            self.frames.append(Frame({}, {"status": "said"}, words=self._take_words()))

    def refused(self, name: str, arguments: object, problem: str) -> None:
        """Show a call that could not be made into an action, as the model made it."""
        call = {"analysis_method": name or "unnamed", "analysis_args": arguments}
        said = {"status": "error", "message": problem}
        self.frames.append(Frame(call, said, words=self._take_words()))

    def _take_words(self) -> str:
        """What the model said last, for the first move that it made with it."""
        words, self._words = self._words, ""
        return words

    def _play_in_thread(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._task = self._loop.create_task(self._play())
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self.finished = True
            self._loop.close()

    async def _play(self) -> None:
        from metric_tracker_rl.agent.model_player import ModelPlayer
        from server.web.model_table import WatchedTable, without_settings

        player = ModelPlayer(self._settings)
        table = WatchedTable(self, self._opening)
        try:
            await player.play(table)
            self.remark = without_settings(table.note)
        except MetricTrackerError as problem:
            self.remark = without_settings(str(problem))
        finally:
            await player.close()
            self._settings = None


def model_settings(url: str, key: str, model: str) -> Any:
    """The agent's settings for one visitor's endpoint.

    Raises:
        InvalidValueError: a key or a model is missing, or the endpoint may not be asked.
    """
    from metric_tracker_rl.agent.settings import Settings

    if not key.strip():
        raise InvalidValueError("key", "", "the endpoint's key; any text where it needs none")
    if not model.strip():
        raise InvalidValueError("model", "", "the model's name as the endpoint knows it")
    return Settings(
        api_key=key.strip(),
        key_variable="the key",
        api_base_url=check_endpoint(url.strip()),
        model=model.strip(),
        max_tool_rounds=MAX_ROUNDS,
        model_timeout_s=TIMEOUT_S,
        model_retries=1,
        secrets=(key.strip(),),
    )


def check_endpoint(url: str) -> str:
    """The endpoint, if this server may ask it.

    On a public Space, addresses inside the machine's own network are refused: a visitor must
    not reach through the server what they cannot reach themselves.

    Raises:
        InvalidValueError: no http(s) URL, or an address inside on a public Space.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValueError("endpoint", url, "a URL such as https://router.huggingface.co/v1")
    if os.environ.get("SPACE_ID") and not _is_public(parts.hostname):
        raise InvalidValueError("endpoint", url, "a public address, on a public Space")
    return url


def _is_public(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        raise ConfigurationError(f"The endpoint's host {host!r} is unknown.") from None
    return all(ipaddress.ip_address(each[4][0]).is_global for each in found)
