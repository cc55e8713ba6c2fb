"""A visitor who investigates a funnel: the selected day, what tools found, the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.engine.report import preview, read_report
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS, Finding, row_for
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.engine.vocabulary import (
    CONVERSION_RATE,
    COUNT_DROP,
    COUNT_SPIKE,
    EVENT_COUNT,
    HOURLY_MIX,
    MIX_SHIFT,
    RATE_DROP,
    RATE_SPIKE,
)
from metric_tracker_rl.page.hero.seen import Seen
from metric_tracker_rl.rows import SubmissionPreview
from metric_tracker_rl.tiers import MetricSession
from openenv_kit.environment import Reply, Session
from openenv_kit.errors import ConfigurationError
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
        unsure: whether they were asked if they mean to submit a report without rows.
        handed: rows of the report as it was submitted last.
        custom: custom anomalies as typed for the next episode.
        unfolded: whether the fold with all counts is open.
        final: reply to the last submission, or to the step that ended the episode.
    """

    def clear(self) -> None:
        """As the kit's; custom anomalies and open folds are kept from one episode to the next."""
        super().clear()
        self.custom: list[Row] = []
        self.unfolded = False

    def forget_play(self) -> None:
        """Forget what belongs to one episode."""
        super().forget_play()
        self.day = self.stage = ""
        self.findings: dict[Key, Row] = {}
        self.rows: list[Row] = []
        self.handed: list[Row] = []
        self._seen: Seen | None = None
        self.unsure = False
        self.result: dict[str, Any] | None = None
        self.offers: list[Row] = []
        self.final: Reply | None = None

    @property
    def drills(self) -> bool:
        """Whether the running episode is a drill-down episode."""
        return self.started and not plays_funnel(self.session)

    @property
    def view(self) -> EpisodeView:
        """The running funnel episode; a visitor without any is given the default task.

        Raises:
            ConfigurationError: a drill-down episode runs.
        """
        self.ensure_episode()
        return view_of(self.session)

    @property
    def seen(self) -> Seen:
        """What the visitor's own calls have told of the running funnel episode.

        Raises:
            ConfigurationError: a drill-down episode runs.
        """
        if self._seen is None:
            self._seen = Seen(self.view.config)
        return self._seen

    def start(self, /, **reset: Any) -> Reply:
        """As the kit's; selects the first day and the first stage."""
        reply = super().start(**reset)
        if self.started and not self.drills and not self.day:
            episode = self.view.episode
            self.day = episode.dates[0]
            self.stage = episode.config.funnel_spec.counts[0]
        return reply

    def select_day(self, date: object) -> None:
        """Make a date the selected one; anything that is not a date of the episode is ignored."""
        if isinstance(date, str) and date in self.view.episode.day_of:
            self.day = date

    def action(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The action of an analysis method; the engine answers for unknown ones."""
        return {"analysis_method": tool, "analysis_args": dict(arguments)}

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Reply:
        """Call an analysis method, and keep what it found."""
        reply = super().call(tool, arguments)
        if self.drills:
            return reply
        self.result = reply.content.get("analysis_result")
        self.offers = []
        if self.result:
            self.seen.read(self.result)
            self.offers = drafts(self.view, self.result["result"])
            self.findings.update({key_of(row): row for row in self.offers})
            self.select_day(arguments.get("date"))
        return reply

    def submit(self) -> Reply:
        """Submit the report as it stands."""
        self.ensure_episode()
        self.handed = self.rows
        return self.step(f"submit {len(self.rows)} row(s)", {"classifications": self.rows})

    def step(self, text: str, action: Mapping[str, Any]) -> Reply:
        """As the kit's; keeps a graded reply, and the one that ends the episode."""
        over, self.unsure = self.session.done, False
        reply = super().step(text, action)
        if not over and "reward_breakdown" in reply.content:
            self.final = reply
        elif not over and reply.done:
            self.final, self.problem = reply, reply.message
        return reply

    @property
    def keys(self) -> set[Key]:
        """What the rows of the report are matched on."""
        return {key_of(row) for row in self.rows}

    def add_rows(self, rows: Sequence[Row]) -> int:
        """Add rows whose place in the report is still free; returns how many were added."""
        taken = self.keys
        fresh = {key_of(row): dict(row) for row in rows if key_of(row) not in taken}
        self.rows = [*self.rows, *fresh.values()]
        return len(fresh)

    def preview(self) -> SubmissionPreview:
        """What a reader makes of the report as it stands; costs no step."""
        return preview(read_report(self.rows, self.view.episode))


def view_of(session: Session) -> EpisodeView:
    """The funnel episode that a session of this environment plays.

    Raises:
        ConfigurationError: it plays none.
    """
    engine = cast(MetricSession, session).engine
    if not isinstance(engine, EpisodeSession) or engine.view is None:
        raise ConfigurationError("This is no funnel episode: start one on the Episode tab.")
    return engine.view


def plays_funnel(session: Session) -> bool:
    """Whether a session plays a funnel episode."""
    return isinstance(cast(MetricSession, session).engine, EpisodeSession)


def key_of(row: Mapping[str, Any]) -> Key:
    """What report rows are matched on."""
    return (str(row.get("date")), str(row.get("entity_type")), str(row.get("entity_name")))


def drafts(view: EpisodeView, result: Mapping[str, Any]) -> list[Row]:
    """Every report row that a tool's result points to, each once, in the result's order.

    A row is offered for what the tool itself calls an anomaly. The values are the tool's own;
    nothing is asked of the labels.
    """
    found: dict[Key, Row] = {}
    for row in (_draft(view, fields) for fields in _mappings(result, {})):
        if row:
            found.setdefault(key_of(row), row)
    return list(found.values())


def _draft(view: EpisodeView, fields: Mapping[str, Any]) -> Row | None:
    """The report row that one line of a result stands for, or None where it stands for none."""
    funnel = view.episode.config.funnel_spec
    if fields.get("anomaly_type", NORMAL) != NORMAL:
        if all(name in fields for name in ROW_FIELDS):
            return {name: fields[name] for name in ROW_FIELDS}
        if "daytime_share" in fields:
            return _row(view, fields["date"], HOURLY_MIX, MIX_SHIFT, len(funnel.metrics))
    change = fields.get("difference")
    if not change or "metric_name" not in fields or "date" not in fields:
        return None
    # A day on which a metric lies away from its median, by the sign of the difference.
    column = funnel.metrics.index(fields["metric_name"])
    if column < len(funnel.counts):
        anomaly = COUNT_SPIKE if change > 0 else COUNT_DROP
        return _row(view, fields["date"], EVENT_COUNT, anomaly, column)
    anomaly = RATE_SPIKE if change > 0 else RATE_DROP
    return _row(view, fields["date"], CONVERSION_RATE, anomaly, column)


def _row(view: EpisodeView, date: str, kind: str, anomaly: str, column: int) -> Row:
    episode, funnel = view.episode, view.episode.config.funnel_spec
    finding = Finding(kind, [*funnel.metrics, funnel.mix][column], anomaly, column)
    return row_for(finding, episode.day_index(date), date, episode.series).as_dict()


def _mappings(node: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each mapping of a result, with the plain fields of everything around it."""
    plain = {k: v for k, v in node.items() if not isinstance(v, Mapping | list | tuple)}
    here = {**above, **plain}
    yield here
    for value in node.values():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, Mapping):
                yield from _mappings(each, here)
