"""A visitor who plays either tier; of a drill-down episode the page keeps every reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.report import preview, read_report
from metric_tracker_rl.drilldown.session import DrillSession
from metric_tracker_rl.drilldown.tools import SUBMIT
from metric_tracker_rl.page.drill.rows import days_text
from metric_tracker_rl.page.drill.story import Story
from metric_tracker_rl.page.state import FunnelVisitor
from metric_tracker_rl.tiers import MetricSession
from openenv_kit.environment import Reply, Session
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.page.watching import Frame
from openenv_kit.play.driver import observed

BETWEEN = " = "
"""Stands between an attribute and its value in the choices of people."""


class MetricVisitor(FunnelVisitor):
    """Everything the page knows about one visitor.

    Attributes:
        frames: replies of the running drill-down episode, with what was done.
        looked_at: place, among the replies with counts, of the one that is drawn; -1 for the last.
        measure: name of the measure that is drawn of it.
        days: first and last date that were chosen in a chart.
    """

    def forget_play(self) -> None:
        """Forget what belongs to one episode."""
        super().forget_play()
        self.frames: list[Frame] = []
        self.looked_at = -1
        self.measure = ""
        self.days: tuple[str, str] | None = None

    @property
    def story(self) -> Story:
        """The running drill-down episode as its replies have told it.

        Raises:
            ConfigurationError: a funnel episode runs.
        """
        self.ensure_episode()
        if not self.frames:
            raise ConfigurationError("This is a funnel episode: start a drill-down episode first.")
        return Story(self.frames)

    def start(self, /, **reset: Any) -> Reply:
        """As the kit's; keeps the reply where a drill-down episode begins."""
        reply = super().start(**reset)
        if self.opening is reply and self.drills:
            self.frames = [Frame({}, observed(reply))]
        return reply

    def step(self, text: str, action: Mapping[str, Any]) -> Reply:
        """As the kit's; keeps the reply."""
        over = self.session.done
        reply = super().step(text, action)
        if self.drills and not over:
            self.frames = [*self.frames, Frame(dict(action), observed(reply))]
            self.looked_at = -1
        return reply

    def submit(self) -> Reply:
        """Submit the report as it stands."""
        if not self.drills:
            return super().submit()
        action = {"analysis_method": SUBMIT, "analysis_args": {"rows": self.rows}}
        return self.step(f"submit {len(self.rows)} row(s)", action)

    def check(self) -> dict[str, Any]:
        """What a reader makes of a drill-down report as it stands; costs no step."""
        return preview(read_report(self.rows, episode_of(self.session)))

    def choose_days(self, told: object) -> None:
        """Keep days chosen in a chart, as `first/last`; anything else is ignored."""
        first, _, last = str(told).partition("/")
        dates = self.story.dates
        last = min(last, dates[-1])  # a week that is drawn may reach beyond the end
        if first in dates and last in dates and first <= last:
            self.days = first, last
            days = days_text({"date_from": first, "date_to": last})
            self.note = f"{days} chosen, for a comparison and for a row of the report."


def episode_of(session: Session) -> Episode:
    """The drill-down episode that a session plays; before the end only its names are read.

    Raises:
        ConfigurationError: it plays none.
    """
    engine = cast(MetricSession, session).engine
    if not isinstance(engine, DrillSession) or engine.episode is None:
        raise ConfigurationError("This is no drill-down episode.")
    return engine.episode


def people_choices(dims: Mapping[str, Sequence[str]]) -> list[str]:
    """Every value of every attribute, as a choice of people."""
    return [f"{name}{BETWEEN}{value}" for name, values in dims.items() for value in values]


def people_of(chosen: Sequence[str] | None) -> dict[str, list[str]]:
    """Values by attribute, from choices of people."""
    people: dict[str, list[str]] = {}
    for each in chosen or ():
        name, _, value = str(each).partition(BETWEEN)
        people.setdefault(name, []).append(value)
    return people


def segment_of(chosen: Sequence[str] | None) -> dict[str, str]:
    """The segment of a row, from choices of people.

    Raises:
        InvalidValueError: two values of one attribute.
    """
    people = people_of(chosen)
    for name, values in people.items():
        if len(values) > 1:
            raise InvalidValueError(f"segment, {name}", values, "one value of each attribute")
    return {name: values[0] for name, values in people.items()}
