"""One visitor of the page: their episode as its replies told it, their report, whom they watch."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Environment, Session, get_environment
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.episode_clients.protocol import EpisodeClient, ObservationJson
from openenv_kit.errors import ServerError
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.playback import Playback, PlaybackStep
from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.reset_limits import reset_within_limits
from openenv_kit.serving.settings import current_settings

MAX_SAVED_CHARACTERS = 200_000
"""Characters of a running episode that the browser keeps."""
MAX_RESTORE_S = 10.0
"""Longest time for which an episode that the browser kept is played again, in seconds."""


@dataclass(eq=False)
class ConfirmationRequired(Exception):
    """Raised by an act that would throw something away: the visitor is asked first.

    Attributes:
        text: what would be lost.
        button_label: of the button that does it.
        on_confirm: does it.
    """

    text: str
    button_label: str
    on_confirm: Callable[[Visitor], Any]


def open_in_process_episode(environment: Environment, *, debug: bool = False) -> InProcessEpisode:
    """Return a client that plays in this process, within the server's limits."""

    def reset_session(session: Session, arguments: Mapping[str, Any]) -> Reply:
        return reset_within_limits(environment, session, arguments, current_settings())

    return InProcessEpisode(environment, debug=debug, reset_session=reset_session)


class Visitor:
    """Everything the page knows about one visitor; visitors share nothing.

    What must outlive a reload is what `kept` tells: the browser holds it for the tab, and the
    episode is made again from it.

    Args:
        environment: what is played; None for the one that ENVIRONMENT names.
        connect: opens the session that the episode is played in; None for one in process.

    Attributes:
        lock: held by whatever is done for this visitor, one after the other.
        is_disconnected: whether the visitor had a connection and has none any more.
        is_page_loaded: whether the page was loaded for this visitor; not so for a forgotten one.
        reset: arguments of the running episode's reset.
        playback_steps: the episode's replies, the reset's first, each with the action it answers;
            empty before the first.
        episode_state: `task_id` and `max_steps`, as the server told them.
        selection: what is selected on the picture; empty for nothing.
        selected_tool: the one whose form is open; empty for the first.
        report_rows: the report, as far as it is filled in.
        finished: task ids of episodes that were played to their end.
        problem: what the status line says before all else; empty for nothing.
        pending_confirmation: what is asked, if anything.
        example_episode: the finished play that the page opens on; None once the visitor plays.
        playback: whom they watch, if anybody.
    """

    is_disconnected = False
    playback: Playback | None = None

    def __init__(
        self,
        environment: Environment | None = None,
        connect: Callable[[], EpisodeClient] | None = None,
    ) -> None:
        self.environment = environment or get_environment()
        self.connect = connect or (lambda: open_in_process_episode(self.environment))
        self.lock = asyncio.Lock()
        self._client: EpisodeClient | None = None
        self.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Visitor:
        """A new visitor: Gradio copies the initial value of a state for each session."""
        return type(self)(self.environment, self.connect)

    def clear(self) -> None:
        """Forget everything; also how a visitor who left is freed."""
        if self._client is not None:
            self._client.close()
        self._client = None
        if self.playback is not None:
            self.playback.is_finished = True  # one that is being played again stops
        self.is_page_loaded = False
        self.playback = None
        self.example_episode: Playback | None = None
        self.problem = ""
        self.pending_confirmation: ConfirmationRequired | None = None
        self.finished_task_ids: list[str] = []
        self.reset: dict[str, Any] = {}
        self.playback_steps: list[PlaybackStep] = []
        self.episode_state: ObservationJson = {}
        self.selection = self.selected_tool = ""
        self.report_rows: list[EditorRow] = []

    @property
    def has_episode(self) -> bool:
        """Whether an episode was started."""
        return bool(self.playback_steps)

    @property
    def last_observation(self) -> Mapping[str, Any]:
        """The last observation; empty before the first reset."""
        return self.playback_steps[-1].observation if self.playback_steps else {}

    @property
    def is_done(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.last_observation.get("done"))

    @property
    def step_count(self) -> int:
        """Steps taken."""
        return max(len(self.playback_steps) - 1, 0)

    @property
    def task_id(self) -> str:
        """Of the running episode."""
        return str(self.episode_state.get("task_id") or "")

    def start_episode(self, /, **reset: Any) -> ObservationJson:
        """Start an episode; a reset that fails leaves the running one and sets `problem`."""
        link = self.connect()
        reply = link.reset(reset)
        if reply["status"] == ReplyStatus.ERROR:
            link.close()
            self.problem = str(reply["message"])
            return reply
        if self._client is not None:
            self._client.close()
        self._client, self.reset, self.example_episode = link, reset, None
        self.episode_state = link.state()
        self.playback_steps = [PlaybackStep({}, reply)]
        self.selection, self.report_rows, self.pending_confirmation, self.problem = "", [], None, ""
        return reply

    def call_tool(self, tool: str, arguments: Mapping[str, Any]) -> ObservationJson:
        """Call a tool, as one step of the episode.

        Raises:
            ToolArgumentError: a call that cannot be made into an action; it costs no step.
        """
        return self.step(self.environment.tools.build_action(tool, arguments))

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Take one step; after the end it only sets `problem`.

        Raises:
            ServerError: no episode was started, or the server did not answer.
        """
        if self._client is None:
            raise ServerError("No episode is running.")
        self.pending_confirmation = None
        if self.is_done:
            self.problem = "This episode is over."
            return dict(self.last_observation)
        begun = time.perf_counter()
        try:
            answer = self._client.step(action)
        except ServerError:  # an idle session was ended: the same steps lead to the same place
            self._client.close()
            self._client = self.connect()
            self._client.reset(self.reset)
            for frame in self.playback_steps[1:]:
                self._client.step(frame.action)
            answer = self._client.step(action)
        self.playback_steps = [
            *self.playback_steps,
            PlaybackStep(dict(action), answer, elapsed_s=time.perf_counter() - begun),
        ]
        self.problem = str(answer["message"]) if answer["status"] == ReplyStatus.ERROR else ""
        if answer.get("done") and self.task_id not in self.finished_task_ids:
            self.finished_task_ids = [*self.finished_task_ids, self.task_id]
        return answer

    def to_saved_json(self) -> str:
        """What makes all of this again, as JSON for the browser; empty where there is nothing."""
        if not self.playback_steps:
            return ""
        score = float(self.last_observation.get("reward") or 0.0)
        text = json.dumps(
            {
                "reset": self.reset,
                "actions": [each.action for each in self.playback_steps[1:]],
                "place": self.selection,
                "rows": self.report_rows,
                "finished": self.finished_task_ids,
                "said": f"score {score:.2f}" if self.is_done else f"step {self.step_count}",
            },
            separators=(",", ":"),
            default=str,
        )
        return text if len(text) <= MAX_SAVED_CHARACTERS else ""

    def restore_saved(self, saved_json: object) -> bool:
        """Go on with what a browser kept, which may hold anything; returns whether it did."""
        try:
            said = json.loads(str(saved_json))
            reset, actions = dict(said["reset"]), [dict(each) for each in said["actions"]]
            place, rows = str(said["place"]), [dict(each) for each in said["rows"]]
            finished = [str(each) for each in said["finished"]]
        except (ValueError, TypeError, LookupError, RecursionError):
            return False
        self.finished_task_ids = finished
        if (
            self.start_episode(**{str(name): value for name, value in reset.items()})["status"]
            == ReplyStatus.ERROR
        ):
            return False
        deadline = time.monotonic() + MAX_RESTORE_S
        for action in actions:
            if self.is_done or self.is_disconnected or time.monotonic() > deadline:
                break
            self.step(action)
        self.selection, self.report_rows, self.problem = place, rows, ""
        return True
