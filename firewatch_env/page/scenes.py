"""The incident's own page: its tabs, its status line, and how a watched play is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from firewatch_env.page import charts, episode, incident, panels
from firewatch_env.page.score import PLAYER, courses_of, score_html
from firewatch_env.page.state import FirewatchVisitor
from firewatch_env.page.story import Story, action_text
from openenv_kit.environment import Environment
from openenv_kit.page import watch
from openenv_kit.page.layout import chart, html
from openenv_kit.page.markup import facts
from openenv_kit.page.results import told_html
from openenv_kit.page.scenes import Build, Scenes
from openenv_kit.page.watching import Playback


class FirewatchScenes(Scenes):
    """See `openenv_kit.page.scenes.Scenes`."""

    visitor = FirewatchVisitor
    folder = Path(__file__).parent

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.lead = (
            "Be on call: look at failing services, repair what is wrong, declare the incident "
            "over, and see how much harm you spared customers."
        )
        self.card = (
            "An incident in a service graph, live: investigate, repair and declare, and see the "
            "score with its counterfactuals. An OpenEnv environment to play in the browser."
        )

    def tabs(self, *, debug: bool) -> Mapping[str, Build]:
        return {"Episode": episode.build, "Incident": incident.build, "Watch": watch.build}

    def status(self, visitor: FirewatchVisitor) -> Sequence[str]:
        now, at = visitor.story.now, visitor.progress
        ended = " · over" if visitor.session.done else ""
        return [
            f"tick {now['sim_tick']} of {at['max_steps']}{ended}",
            "customers let down" if now["user_impact_active"] else "customers well",
            f"{now['slo_budget_remaining_pct']:.1f} % of the budget left",
        ]

    def describe(self, action: Mapping[str, Any]) -> str:
        return action_text(action)

    def answer_html(self, observation: Mapping[str, Any]) -> str:
        told = self.answer(observation)
        if told.get("log_lines"):
            return panels.lines_html(told["log_lines"])
        shown = dict(told.get("figures") or {})
        plain = {k: v for k, v in shown.items() if v is None or isinstance(v, int | float)}
        rest = {k: _rows(v) for k, v in shown.items() if k not in plain}
        return (facts(plain) if plain else "") + (told_html(rest) if rest else "")

    def outcome_html(self, observation: Mapping[str, Any]) -> str:
        return ""  # the board tells what the score is made of, with the curves

    def board(self) -> Sequence[Any]:
        return [
            html(elem_id="fw-watched"),
            html(elem_id="fw-watched-score"),
            chart("watched-harm", visible=False),
            chart("watched-graph", visible=False),
            chart("watched-budget", visible=False),
            html(elem_id="fw-watched-panels"),
        ]

    def show_board(self, playback: Playback | None) -> Sequence[Any]:
        hidden = gr.update(visible=False)
        story = _story(playback) if playback else None
        if playback is None or story is None:
            return ["", "", hidden, hidden, hidden, ""]
        found = courses_of(playback.session, story)
        return [
            panels.headline_html(story),
            score_html(story, found, PLAYER),
            gr.update(value=charts.harm(found, PLAYER), visible=True) if found else hidden,
            gr.update(value=charts.service_graph(story), visible=True),
            gr.update(value=charts.budget(story), visible=True),
            panels.alerts_html(story) + panels.services_html(story),
        ]


def _story(playback: Playback) -> Story | None:
    """The play up to the move looked at; None where nothing has been told of any service."""
    frames = playback.frames[: playback.at + 1]
    most = playback.session.state().model_dump()["max_steps"]
    targets = [frame.action.get("target_service") for frame in frames]
    acted_on = next((str(name) for name in reversed(targets) if name), "")
    story = Story(frames, most, acted_on)
    return story if story.seen else None


def _rows(figures: Any) -> Any:
    """Figures by name and by key as rows, which read better than objects inside a table."""
    if not isinstance(figures, Mapping) or not figures:
        return figures
    if not all(isinstance(each, Mapping) for each in figures.values()):
        return figures
    return [{"name": name, **each} for name, each in figures.items()]
