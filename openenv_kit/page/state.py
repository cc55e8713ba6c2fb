"""One visitor of the page: an episode of their own, what they did in it, what they found."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metric_tracker_rl.engine.report import preview, read_report
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.engine.tasks import DEFAULT_TASK_ID
from metric_tracker_rl.rows import SubmissionPreview
from openenv_kit.environment import ERROR, Reply
from openenv_kit.page.drafts import drafts
from openenv_kit.page.watching import Playback
from openenv_kit.play.driver import observed
from openenv_kit.play.recording import RecordedRun, canonical
from openenv_kit.serving.framework import limit_rules

Row = dict[str, Any]
Key = tuple[str, str, str]

OVER = "This episode is over. Start another one on the Episode tab."

MAX_LOG = 500
"""Calls kept in the running log, as many as an episode may have steps."""


@dataclass(frozen=True)
class LoggedCall:
    """One step as the running log shows it.

    Attributes:
        call: method and arguments, or what was submitted.
        status: status of the reply.
        message: the reply's sentence.
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
    """Everything the page knows about one visitor; nothing of it is shared.

    Args:
        debug: whether this server shows answers.
    """

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self.lock = threading.RLock()
        self.playback: Playback | None = None
        self._key = self._key_endpoint = ""
        self.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Visitor:
        """A new visitor: Gradio copies the initial value of a state for each session."""
        return Visitor(debug=self.debug)

    def clear(self) -> None:
        """Forget everything; also how a visitor who left is freed."""
        self.watch(None)
        self.session = EpisodeSession(debug=self.debug)
        self.note = ""
        self.problem = ""
        self.reset: dict[str, Any] = {}
        self.reply: Reply | None = None
        self.forget_key()
        self.runs: list[RecordedRun] = []
        self._forget_play()

    def _forget_play(self) -> None:
        self.day = ""
        self.stage = ""
        self.log: list[LoggedCall] = []
        self.findings: dict[Key, Row] = {}
        self.rows: list[Row] = []
        self.result: dict[str, Any] | None = None
        self.offers: list[Row] = []
        self.final: Reply | None = None

    @property
    def view(self) -> EpisodeView:
        """The running episode; a visitor without one is given the default task."""
        if self.session.view is None:
            self.start(task_id=DEFAULT_TASK_ID)
        assert self.session.view is not None
        return self.session.view

    def start(self, **reset: Any) -> Reply:
        """Reset; a bad one leaves the running episode as it is and sets `problem`.

        Raises:
            InvalidValueError: more steps or submissions than this server allows.
        """
        limit_rules(reset)
        reply = self.reply = self.session.reset(**reset)
        if reply.status == ERROR:
            self.problem = reply.message
            return reply
        self.problem, self.note = "", reply.message
        self.reset = dict(reset)
        self._forget_play()
        episode = self.view.episode
        self.day = episode.dates[0]
        self.stage = episode.config.funnel_spec.counts[0]
        return reply

    def select_day(self, date: object) -> None:
        """Make a date the selected one; anything that is not a date of the episode is ignored."""
        if date in self.view.episode.day_of:
            self.day = str(date)

    def analyse(self, method: str, arguments: Mapping[str, Any]) -> Reply:
        """Run one analysis method as a step of the episode."""
        self.view  # noqa: B018 - makes sure that there is an episode
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        reply = self._step(
            f"{method}({shown})", {"analysis_method": method, "analysis_args": dict(arguments)}
        )
        self.result = reply.content.get("analysis_result")
        self.offers = []
        if self.result:
            self.offers = drafts(self.view, self.result["result"])
            self.findings.update({key_of(row): row for row in self.offers})
            self.select_day(arguments.get("date"))
        return reply

    def submit(self) -> Reply:
        """Submit the report as it stands."""
        self.view  # noqa: B018
        text = f"submit {len(self.rows)} row(s)"
        return self._step(text, {"classifications": self.rows})

    def _step(self, text: str, action: Mapping[str, Any]) -> Reply:
        over = self.session.done
        begun = time.perf_counter()
        reply = self.reply = self.session.step(action)
        if over:
            self.problem = OVER
            return reply
        elapsed = time.perf_counter() - begun
        size = len(canonical(observed(reply)))
        entry = LoggedCall(self.session.steps, text, reply.status, reply.message, elapsed, size)
        self.log = [*self.log, entry][-MAX_LOG:]
        self.note = reply.message
        graded = "reward_breakdown" in reply.content
        if graded or reply.done:
            self.final = reply
        ended = reply.done and not graded
        self.problem = reply.message if reply.status == ERROR or ended else ""
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
        """Watch another play; whoever played before stops."""
        if self.playback is not None:
            self.playback.close()
        self.playback = playback
        self.playing = False

    def add_rows(self, rows: Sequence[Row]) -> int:
        """Add rows whose place in the report is still free; returns how many were added."""
        taken = {key_of(row) for row in self.rows}
        fresh = {key_of(row): dict(row) for row in rows if key_of(row) not in taken}
        self.rows = [*self.rows, *fresh.values()]
        return len(fresh)

    def preview(self) -> SubmissionPreview:
        """What a reader makes of the report as it stands; costs no step."""
        return preview(read_report(self.rows, self.view.episode))


def key_of(row: Mapping[str, Any]) -> Key:
    """What report rows are matched on."""
    return (str(row.get("date")), str(row.get("entity_type")), str(row.get("entity_name")))


def rows_from_table(table: Sequence[Sequence[Any]]) -> list[Row]:
    """Report rows from the cells of an edited table; wholly empty lines are no rows."""
    rows = []
    for cells in table:
        values = ["" if cell is None else str(cell).strip() for cell in cells]
        if any(values):
            rows.append(dict(zip(ROW_FIELDS, values, strict=False)))
    return rows
