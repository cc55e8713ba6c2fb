"""A visitor who investigates a funnel: the selected day, what tools found, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from metric_tracker_rl.engine.report import preview, read_report
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.page.drafts import drafts
from metric_tracker_rl.rows import SubmissionPreview
from openenv_kit.environment import Reply, Session
from openenv_kit.page.state import Visitor

Row = dict[str, Any]
Key = tuple[str, str, str]


class FunnelVisitor(Visitor):
    """Everything the page knows about one visitor.

    Attributes:
        day: the selected date.
        stage: the stage shown by the hour.
        result: what the last analysis method answered, if it was carried out.
        offers: report rows that it points to.
        findings: every row that a method pointed to, by key.
        rows: the report.
        final: reply to the last submission, or to the step that ended the episode.
    """

    def forget_play(self) -> None:
        """Forget what belongs to one episode."""
        super().forget_play()
        self.day = ""
        self.stage = ""
        self.findings: dict[Key, Row] = {}
        self.rows: list[Row] = []
        self.result: dict[str, Any] | None = None
        self.offers: list[Row] = []
        self.final: Reply | None = None

    @property
    def view(self) -> EpisodeView:
        """The running episode; a visitor without one is given the default task."""
        self.ensure_episode()
        return view_of(self.session)

    def start(self, **reset: Any) -> Reply:
        """As the kit's; selects the first day and the first stage."""
        reply = super().start(**reset)
        if self.started and not self.day:
            episode = self.view.episode
            self.day = episode.dates[0]
            self.stage = episode.config.funnel_spec.counts[0]
        return reply

    def select_day(self, date: object) -> None:
        """Make a date the selected one; anything that is not a date of the episode is ignored."""
        if date in self.view.episode.day_of:
            self.day = str(date)

    def action(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The action of an analysis method; the engine answers for unknown ones."""
        return {"analysis_method": tool, "analysis_args": dict(arguments)}

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Reply:
        """Call an analysis method, and keep what it found."""
        reply = super().call(tool, arguments)
        self.result = reply.content.get("analysis_result")
        self.offers = []
        if self.result:
            self.offers = drafts(self.view, self.result["result"])
            self.findings.update({key_of(row): row for row in self.offers})
            self.select_day(arguments.get("date"))
        return reply

    def submit(self) -> Reply:
        """Submit the report as it stands."""
        self.ensure_episode()
        return self.step(f"submit {len(self.rows)} row(s)", {"classifications": self.rows})

    def step(self, text: str, action: Mapping[str, Any]) -> Reply:
        """As the kit's; keeps a graded reply, and the one that ends the episode."""
        over = self.session.done
        reply = super().step(text, action)
        graded = "reward_breakdown" in reply.content
        if not over and (graded or reply.done):
            self.final = reply
            if not graded:
                self.problem = reply.message
        return reply

    def add_rows(self, rows: Sequence[Row]) -> int:
        """Add rows whose place in the report is still free; returns how many were added."""
        taken = {key_of(row) for row in self.rows}
        fresh = {key_of(row): dict(row) for row in rows if key_of(row) not in taken}
        self.rows = [*self.rows, *fresh.values()]
        return len(fresh)

    def preview(self) -> SubmissionPreview:
        """What a reader makes of the report as it stands; costs no step."""
        return preview(read_report(self.rows, self.view.episode))


def view_of(session: Session) -> EpisodeView:
    """The episode that a session of this environment plays."""
    view = cast(EpisodeSession, session).view
    assert view is not None
    return view


def key_of(row: Mapping[str, Any]) -> Key:
    """What report rows are matched on."""
    return (str(row.get("date")), str(row.get("entity_type")), str(row.get("entity_name")))


def rows_from_table(table: Sequence[Sequence[Any]]) -> list[Row]:
    """Report rows from the cells of an edited table; empty lines are skipped."""
    rows = []
    for cells in table:
        values = ["" if cell is None else str(cell).strip() for cell in cells]
        if any(values):
            rows.append(dict(zip(ROW_FIELDS, values, strict=False)))
    return rows
