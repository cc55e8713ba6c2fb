"""One visitor of the page: their episode as its replies told it, their report, whom they watch."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import ERROR, Environment, get_environment
from openenv_kit.episode_clients.websocket import InProcess, Link, Seen
from openenv_kit.errors import ServerError
from openenv_kit.page.components.row_editor import Row
from openenv_kit.page.playback import Frame, Playback

MAX_KEPT = 200_000
"""Characters of a running episode that the browser keeps."""
REPLAY_S = 10.0
"""Longest time for which an episode that the browser kept is played again, in seconds."""


@dataclass(eq=False)
class Unsure(Exception):
    """Raised by an act that would throw something away: the visitor is asked first.

    Attributes:
        text: what would be lost.
        label: of the button that does it.
        act: does it.
    """

    text: str
    label: str
    act: Callable[[Visitor], Any]


class Visitor:
    """Everything the page knows about one visitor; visitors share nothing.

    What must outlive a reload is what `kept` tells: the browser holds it for the tab, and the
    episode is made again from it.

    Args:
        environment: what is played; None for the one that ENVIRONMENT names.
        connect: opens the session that the episode is played in; None for one in process.

    Attributes:
        turn: held by whatever is done for this visitor, one after the other.
        away: whether no connection of theirs is open any more, since one was.
        arrived: whether the page was loaded for this visitor; not so for a forgotten one.
        reset: arguments of the running episode's reset.
        frames: its replies, the reset's first, each with what was done; empty before the first.
        progress: `task_id` and `max_steps`, as the server told them.
        place: what is selected on the picture; empty for nothing.
        tool: the one whose form is open; empty for the first.
        rows: the report, as far as it is filled in.
        finished: task ids of episodes that were played to their end.
        problem: what the status line says before all else; empty for nothing.
        question: what is asked, if anything.
        demo: the finished play that the page opens on; None once the visitor plays.
        playback: whom they watch, if anybody.
    """

    away = False
    playback: Playback | None = None

    def __init__(
        self, environment: Environment | None = None, connect: Callable[[], Link] | None = None
    ) -> None:
        self.environment = environment or get_environment()
        self.connect = connect or (lambda: InProcess(self.environment))
        self.turn = asyncio.Lock()
        self._link: Link | None = None
        self.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Visitor:
        """A new visitor: Gradio copies the initial value of a state for each session."""
        return type(self)(self.environment, self.connect)

    def clear(self) -> None:
        """Forget everything; also how a visitor who left is freed."""
        if self._link is not None:
            self._link.close()
        self._link = None
        if self.playback is not None:
            self.playback.finished = True  # one that is being played again stops
        self.arrived = False
        self.playback = None
        self.demo: Playback | None = None
        self.problem = ""
        self.question: Unsure | None = None
        self.finished: list[str] = []
        self.reset: dict[str, Any] = {}
        self.frames: list[Frame] = []
        self.progress: Seen = {}
        self.place = self.tool = ""
        self.rows: list[Row] = []

    @property
    def started(self) -> bool:
        """Whether an episode was started."""
        return bool(self.frames)

    @property
    def reply(self) -> Mapping[str, Any]:
        """The last observation; empty before the first reset."""
        return self.frames[-1].observation if self.frames else {}

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.reply.get("done"))

    @property
    def steps(self) -> int:
        """Steps taken."""
        return max(len(self.frames) - 1, 0)

    @property
    def task_id(self) -> str:
        """Of the running episode."""
        return str(self.progress.get("task_id") or "")

    def start(self, /, **reset: Any) -> Seen:
        """Start an episode; a reset that fails leaves the running one and sets `problem`."""
        link = self.connect()
        reply = link.reset(reset)
        if reply["status"] == ERROR:
            link.close()
            self.problem = str(reply["message"])
            return reply
        if self._link is not None:
            self._link.close()
        self._link, self.reset, self.demo = link, reset, None
        self.progress = link.state()
        self.frames = [Frame({}, reply)]
        self.place, self.rows, self.question, self.problem = "", [], None, ""
        return reply

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Seen:
        """Call a tool, as one step of the episode.

        Raises:
            ToolArgumentError: a call that cannot be made into an action; it costs no step.
        """
        return self.step(self.environment.tools.action(tool, arguments))

    def step(self, action: Mapping[str, Any]) -> Seen:
        """Take one step; after the end it only sets `problem`.

        Raises:
            ServerError: no episode was started, or the server did not answer.
        """
        if self._link is None:
            raise ServerError("No episode is running.")
        self.question = None
        if self.over:
            self.problem = "This episode is over."
            return dict(self.reply)
        begun = time.perf_counter()
        try:
            answer = self._link.step(action)
        except ServerError:  # an idle session was ended: the same steps lead to the same place
            self._link.close()
            self._link = self.connect()
            self._link.reset(self.reset)
            for frame in self.frames[1:]:
                self._link.step(frame.action)
            answer = self._link.step(action)
        self.frames = [
            *self.frames,
            Frame(dict(action), answer, elapsed_s=time.perf_counter() - begun),
        ]
        self.problem = str(answer["message"]) if answer["status"] == ERROR else ""
        if answer.get("done") and self.task_id not in self.finished:
            self.finished = [*self.finished, self.task_id]
        return answer

    def kept(self) -> str:
        """What makes all of this again, as JSON for the browser; empty where there is nothing."""
        if not self.frames:
            return ""
        score = float(self.reply.get("reward") or 0.0)
        text = json.dumps(
            {
                "reset": self.reset,
                "actions": [each.action for each in self.frames[1:]],
                "place": self.place,
                "rows": self.rows,
                "finished": self.finished,
                "said": f"score {score:.2f}" if self.over else f"step {self.steps}",
            },
            separators=(",", ":"),
            default=str,
        )
        return text if len(text) <= MAX_KEPT else ""

    def restore(self, kept: object) -> bool:
        """Go on with what a browser kept, which may hold anything; returns whether it did."""
        try:
            said = json.loads(str(kept))
            reset, actions = dict(said["reset"]), [dict(each) for each in said["actions"]]
            place, rows = str(said["place"]), [dict(each) for each in said["rows"]]
            finished = [str(each) for each in said["finished"]]
        except (ValueError, TypeError, LookupError, RecursionError):
            return False
        self.finished = finished
        if self.start(**{str(name): value for name, value in reset.items()})["status"] == ERROR:
            return False
        deadline = time.monotonic() + REPLAY_S
        for action in actions:
            if self.over or self.away or time.monotonic() > deadline:
                break
            self.step(action)
        self.place, self.rows, self.problem = place, rows, ""
        return True
