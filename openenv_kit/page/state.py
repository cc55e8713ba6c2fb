"""One visitor of the page: an episode of their own, what they did in it, whom they watch."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from openenv_kit.environment import ERROR, Environment, Reply, get_environment
from openenv_kit.page.watching import Frame, Playback, call_text
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import canonical
from openenv_kit.serving.framework import begin
from openenv_kit.serving.settings import settings

if TYPE_CHECKING:
    from openenv_kit.page.race import Race

VISITORS: WeakValueDictionary[str, Visitor] = WeakValueDictionary()
"""Every visitor of this process by their token, for as long as the page keeps them."""
PATIENCE_S = 5.0
OVER = "This episode is over. Start another one on the Episode tab."

MAX_LOG = 500
"""Calls kept in the log."""


@dataclass(frozen=True)
class LoggedCall:
    """One step as the log shows it.

    Attributes:
        number: of the step, from 1.
        call: the tool and its arguments, or what was submitted.
        status, message: of the reply.
        elapsed_s: time the step took on the server.
        size: length of the reply in characters, which is what an agent would have to read.
    """

    number: int
    call: str
    status: str
    message: str
    elapsed_s: float
    size: int


class Visitor:
    """Everything the page knows about one visitor; visitors share nothing.

    Args:
        environment: what is played; None for the one that ENVIRONMENT names.
        debug: whether this server shows answers.

    Attributes:
        token: known to their page alone; with it, the page finds them again after a reload.
        shown_round: whether they are shown a play because they are here for the first time.
        started: whether an episode was started.
        reset: arguments of the running episode's reset.
        opening: reply to that reset.
        reply: the last reply.
        acted: the action that it answers; None for a reset.
        score: what the episode came to; None before its end.
        revealed: the reference's play of the episode, once they asked for it.
        note, problem: what the status line says; a problem goes first.
        log: steps of the running episode, oldest first.
        playback: whom they watch, if anybody.
        playing: whether the watched player moves on its own.
        race: of the running episode, if they race.
    """

    def __init__(self, environment: Environment | None = None, *, debug: bool = False) -> None:
        self.environment = environment or get_environment()
        self.debug = debug
        self.lock = threading.RLock()
        self.token = secrets.token_urlsafe(16)
        VISITORS[self.token] = self
        self.playback: Playback | None = None
        self.race: Race | None = None
        self._key = self._key_endpoint = ""
        self.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Visitor:
        """A new visitor: Gradio copies the initial value of a state for each session."""
        return type(self)(self.environment, debug=self.debug)

    def clear(self) -> None:
        """Forget everything; also how a visitor who left is freed."""
        self.watch(None)
        self.session = self.environment.session(debug=self.debug)
        self.started = self.shown_round = False
        self.note = self.problem = ""
        self.reset: dict[str, Any] = {}
        self.opening: Reply | None = None
        self.reply: Reply | None = None
        self.forget_key()
        self.forget_play()

    def take_over(self, token: str) -> bool:
        """Go on where the visitor with a token left off, who is left with nothing.

        Returns:
            Whether there is one of this environment who had started something.
        """
        other = VISITORS.get(token)
        if other is None or other is self or other.environment is not self.environment:
            return False
        if not other.lock.acquire(timeout=PATIENCE_S):
            return False
        try:
            if not other.started:
                return False
            own = {"lock", "token", "debug"}
            vars(self).update({n: v for n, v in vars(other).items() if n not in own})
            other.playback = other.race = None  # they go on, watched by another
            other.clear()
        finally:
            other.lock.release()
        return True

    def forget_play(self) -> None:
        """Forget what belongs to one episode."""
        if self.race is not None:
            self.race.close()
        self.race = None
        self.log: list[LoggedCall] = []
        self.acted: Mapping[str, Any] | None = None
        self.score: float | None = None
        self.revealed: list[Frame] | None = None

    @property
    def progress(self) -> dict[str, Any]:
        """Public progress of the session: `step_count`, `max_steps`, `task_id`, `status`."""
        return self.session.state().model_dump()

    def ensure_episode(self) -> None:
        """Start the environment's first task unless an episode was started."""
        if not self.started:
            first = self.environment.default_tasks[0]
            self.start(**self.environment.tasks[first])

    def start(self, /, **reset: Any) -> Reply:
        """Start an episode; a reset that fails leaves the running one and sets `problem`."""
        reply = begin(self.environment, self.session, reset, settings())
        if reply.status == ERROR:
            self.reply, self.problem = reply, reply.message
            return reply
        self.forget_play()
        self.opening = self.reply = reply
        self.reset, self.started = reset, True
        self.problem, self.note = "", reply.message
        return reply

    def action(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The action of a tool call; raises as `Catalogue.action` does."""
        return self.environment.tools.action(tool, arguments)

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Reply:
        """Call a tool, as one step of the episode.

        Raises:
            ToolArgumentError: a call that cannot be made into an action; it costs no step.
        """
        self.ensure_episode()
        return self.step(call_text(tool, arguments), self.action(tool, arguments))

    def step(self, text: str, action: Mapping[str, Any]) -> Reply:
        """Take one step and log it as `text`; after the end it only sets `problem`."""
        over = self.session.done
        begun = time.perf_counter()
        reply = self.reply = self.session.step(action)
        elapsed = time.perf_counter() - begun
        if over:
            self.problem = OVER
            return reply
        self.acted = action
        if reply.done:
            self.score = float(reply.reward or 0.0)
        number, size = self.progress["step_count"], len(canonical(observed(reply)))
        entry = LoggedCall(number, text, reply.status, reply.message, elapsed, size)
        self.log = [*self.log, entry][-MAX_LOG:]
        self.note = reply.message
        self.problem = reply.message if reply.status == ERROR else ""
        if self.race is not None:
            self.race.follow(number, over=reply.done)
        return reply

    def key_for(self, endpoint: str, entered: str) -> str:
        """The key for an endpoint: the one just entered, or the one entered for it before.

        A key is forgotten as soon as another endpoint is named, so it is sent to the endpoint that
        it was entered for and to no other.
        """
        if entered or endpoint != self._key_endpoint:
            self._key, self._key_endpoint = entered, endpoint
        return self._key

    def forget_key(self) -> None:
        """Forget the key of the visitor's endpoint."""
        self._key = self._key_endpoint = ""

    def watch(self, playback: Playback | None) -> None:
        """Watch another play; the one watched before is stopped."""
        if self.playback is not None:
            self.playback.close()
        self.playback = playback
        self.playing = self.shown_round = False
