"""State of a debugger visitor: the episode, report and playback of one browser tab."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Environment, Session, get_environment
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.episode_clients.protocol import EpisodeClient, ObservationJson
from openenv_kit.errors import KitError, ServerError
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.playback import PlaybackStep
from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.reset_arguments import TABLE
from openenv_kit.reset_limits import reset_within_server_limits
from openenv_kit.serving.settings import current_settings

MAX_SAVED_CHARACTERS = 200_000
"""Maximum length of a saved episode, in characters. A longer one is not saved."""
MAX_REMEMBERED_EVENTS = 64
"""Number of the page's last events that are recognized if they arrive a second time."""
MAX_RESTORE_S = 10.0
"""Maximum time for rebuilding a saved episode, in seconds."""


@dataclass(eq=False)
class ConfirmationRequired(Exception):
    """Raised when an action would discard unfinished work. The page then asks for confirmation.

    Attributes:
        text: message that states the consequence of the action.
        button_label: label of the button that confirms the action.
        on_confirm: performs the action; called with the visitor.
    """

    text: str
    button_label: str
    on_confirm: Callable[[Visitor], Any]


def create_limited_in_process_client(
    environment: Environment, *, debug: bool = False
) -> InProcessEpisode:
    """Return a client that plays in this process and applies the server's limits to resets."""

    def reset_session_within_limits(session: Session, arguments: Mapping[str, Any]) -> Reply:
        return reset_within_server_limits(environment, session, arguments, current_settings())

    return InProcessEpisode(environment, debug=debug, reset_session=reset_session_within_limits)


class Visitor:
    """State of one visitor.

    The browser stores the result of `to_saved_json` for each tab. When the page is reloaded, the
    server rebuilds the episode from this JSON.

    Args:
        environment: the environment; None to use the variable ENVIRONMENT.
        connect: function that creates a client for an episode; None to play in this process.

    Attributes:
        lock: lock that makes the visitor's event handlers run one after the other.
        episode_connect: creates another client like that of the running episode.
        is_disconnected: whether the visitor's last connection was closed.
        is_page_loaded: whether the page was loaded for this visitor.
        reset: arguments with which the running episode was reset.
        playback_steps: reset and steps of the running episode, each with its reply.
        episode_state: `task_id` and `max_steps`, as reported by the server.
        selection: key of the item that is selected in the overview; empty if no item is selected.
        selected_tool: name of the tool whose form is open; empty for the first tool.
        opening_step_count: number of steps that the page made automatically after the reset.
        shown_step: index of the step whose reply is shown; None for the last one.
        report_rows: rows of the unfinished report.
        is_guided: whether the page suggests the next step.
        may_read_data: whether the page makes the opening calls after a reset.
        finished_task_ids: ids of the tasks that the visitor has finished.
        problem: error message in the status line; empty if there is no error.
        pending_confirmation: action that the visitor has to confirm; None if no action is waiting.
    """

    is_disconnected = False

    def __init__(
        self,
        environment: Environment | None = None,
        connect: Callable[[], EpisodeClient] | None = None,
    ) -> None:
        self.environment = environment or get_environment()
        self.connect = connect or (lambda: create_limited_in_process_client(self.environment))
        self.lock = asyncio.Lock()
        self._client: EpisodeClient | None = None
        self._event_numbers: deque[object] = deque(maxlen=MAX_REMEMBERED_EVENTS)
        self.episode_connect = self.connect
        self.close_episode_and_clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Visitor:
        """Return a new visitor. Gradio copies the initial value of a state for each session."""
        return type(self)(self.environment, self.connect)

    def close_episode_and_clear(self) -> None:
        """Close the episode and reset all state. Gradio calls this when a session expires."""
        if self._client is not None:
            self._client.close()
        self._client = None
        self.is_page_loaded = False
        self.problem = ""
        self.pending_confirmation: ConfirmationRequired | None = None
        self.finished_task_ids: list[str] = []
        self.reset: dict[str, Any] = {}
        self.playback_steps: list[PlaybackStep] = []
        self.episode_state: ObservationJson = {}
        self.selection = self.selected_tool = ""
        self.shown_step: int | None = None
        self.opening_step_count = 0
        self.is_guided = False
        self.may_read_data = True
        self.report_rows: list[EditorRow] = []

    def has_handled_event(self, number: object) -> bool:
        """Return whether an event with this number was handled, and remember the number.

        Args:
            number: number that the page has given to the event. A browser may send a request twice
                if its connection is lost. None is never remembered.
        """
        if number is None or number in self._event_numbers:
            return number is not None
        self._event_numbers.append(number)
        return False

    @property
    def has_episode(self) -> bool:
        """Whether an episode was started."""
        return bool(self.playback_steps)

    @property
    def last_observation(self) -> Mapping[str, Any]:
        """Last observation of the episode; empty before the first reset."""
        return self.playback_steps[-1].observation if self.playback_steps else {}

    @property
    def is_done(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.last_observation.get("done"))

    @property
    def step_count(self) -> int:
        """Number of steps in the episode."""
        return max(len(self.playback_steps) - 1, 0)

    @property
    def task_id(self) -> str:
        """Task id of the running episode; empty if no episode is running."""
        return str(self.episode_state.get("task_id") or "")

    @property
    def is_private(self) -> bool:
        """Whether the episode contains numbers from the visitor's table and must not be saved."""
        return TABLE.name in self.reset

    def start_episode(self, /, **reset_arguments: Any) -> ObservationJson:
        """Start an episode and return the reply to the reset.

        A rejected reset leaves the running episode unchanged and sets `problem`.
        """
        return self.start_episode_through(self.connect, reset_arguments)

    def start_episode_through(
        self, connect: Callable[[], EpisodeClient], reset_arguments: Mapping[str, Any]
    ) -> ObservationJson:
        """Start an episode through a new client; see `start_episode`.

        Args:
            connect: creates the client.
            reset_arguments: arguments of the reset.
        """
        link = connect()
        reply = link.reset(reset_arguments)
        if reply["status"] == ReplyStatus.ERROR:
            link.close()
            self.problem = str(reply["message"])
            return reply
        if self._client is not None:
            self._client.close()
        self._client, self.reset = link, dict(reset_arguments)
        self.episode_connect = connect
        self.episode_state = link.state()
        self.playback_steps = [PlaybackStep({}, reply)]
        self.selection, self.report_rows, self.pending_confirmation, self.problem = "", [], None, ""
        self.shown_step, self.opening_step_count = None, 0
        return reply

    def call_tool(self, tool: str, arguments: Mapping[str, Any]) -> ObservationJson:
        """Call a tool as a step of the episode, and return the reply.

        Raises:
            ToolArgumentError: the call cannot be converted into an action. No step is counted.
        """
        return self.take_step(self.environment.tools.build_action(tool, arguments))

    def take_step(self, action: Mapping[str, Any]) -> ObservationJson:
        """Take a step and return the reply.

        If the episode is over, set `problem` and return the last observation.

        Raises:
            ServerError: no episode is running, or the server does not reply.
        """
        if not self.has_episode:
            raise ServerError("No episode is running.")
        self.pending_confirmation = self.shown_step = None
        if self.is_done:
            self.problem = "This episode is over."
            return dict(self.last_observation)
        begun = time.perf_counter()
        answer = self._step_and_reconnect_if_closed(action)
        self.playback_steps = [
            *self.playback_steps,
            PlaybackStep(dict(action), answer, elapsed_s=time.perf_counter() - begun),
        ]
        self.problem = str(answer["message"]) if answer["status"] == ReplyStatus.ERROR else ""
        if answer.get("done") and self.task_id not in self.finished_task_ids:
            self.finished_task_ids = [*self.finished_task_ids, self.task_id]
        return answer

    def _step_and_reconnect_if_closed(self, action: Mapping[str, Any]) -> ObservationJson:
        """Take a step. If the server has closed the session, start another and repeat its steps.

        Raises:
            ServerError: the server does not reply. The next step reconnects again.
        """
        if self._client is not None:
            try:
                return self._client.step(action)
            except ServerError:
                # A closed client would connect again to a session without the episode.
                self._client.close()
                self._client = None
        client = self.episode_connect()
        try:
            client.reset(self.reset)
            for step in self.playback_steps[1:]:
                client.step(step.action)
            answer = client.step(action)
        except ServerError:
            client.close()
            raise
        self._client = client
        return answer

    def to_saved_json(self) -> str:
        """Return JSON from which `restore_saved_episode` can restore the episode.

        The result is empty if no episode was started, if it is private, or if the JSON would be
        longer than `MAX_SAVED_CHARACTERS`.
        """
        if not self.playback_steps or self.is_private:
            return ""
        score = float(self.last_observation.get("reward") or 0.0)
        text = json.dumps(
            {
                "reset": self.reset,
                "actions": [each.action for each in self.playback_steps[1:]],
                "place": self.selection,
                "rows": self.report_rows,
                "finished": self.finished_task_ids,
                "opening": self.opening_step_count,
                "said": f"score {score:.2f}" if self.is_done else f"step {self.step_count}",
            },
            separators=(",", ":"),
            default=str,
        )
        return text if len(text) <= MAX_SAVED_CHARACTERS else ""

    def restore_saved_episode(self, saved_json: object, *, may_submit: bool = True) -> bool:
        """Restore an episode from the JSON that the browser has stored.

        Args:
            saved_json: result of `to_saved_json`. Invalid JSON is rejected.
            may_submit: whether to repeat actions that end the episode; False for JSON from a URL,
                because opening a URL must never submit a report.

        Returns:
            Whether an episode was restored.
        """
        try:
            said = json.loads(str(saved_json))
            reset, actions = dict(said["reset"]), [dict(each) for each in said["actions"]]
            place, rows = str(said.get("place", "")), [dict(each) for each in said.get("rows", ())]
            finished = [str(each) for each in said.get("finished", ())]
            opening_step_count = int(said.get("opening", 0))
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
            if not may_submit and self._is_final_action(action):
                break
            self.take_step(action)
        self.selection, self.report_rows, self.problem = place, rows, ""
        self.opening_step_count = opening_step_count
        return True

    def _is_final_action(self, action: Mapping[str, Any]) -> bool:
        """Return whether an action may end the episode; True if it is malformed."""
        tools = self.environment.tools
        try:
            return tools.find_tool(tools.tool_call_of_action(action).name).is_final
        except (KitError, TypeError, ValueError, AttributeError, LookupError):
            return True
