"""The incident's part of the page: its graph, its actions, its score."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from firewatch_env.page import panels
from firewatch_env.page.graph import graph_html, harm_html, health_of_service, metrics_html
from firewatch_env.page.score import courses_of, over, score_html
from firewatch_env.page.story import Story, action_text
from firewatch_env.tools import CATALOGUE, GROUPS, TARGET
from openenv_kit.environment import Environment
from openenv_kit.page.components.elements import (
    collapsed_score_components_html,
    heading_html,
    humanize,
    message_box_html,
)
from openenv_kit.page.components.row_editor import EditorRow
from openenv_kit.page.environment_view import (
    EnvironmentView,
    NextStepHint,
    PlaybackSteps,
    QuestionPanel,
    SuggestedCall,
)
from openenv_kit.page.playback import create_playback_of_policy
from openenv_kit.page.visitor import Visitor

TITLES = {
    "look": "Look: changes nothing · 1 tick each",
    "mitigate": "Buy time: taken back at the end · 1 tick each",
    "repair": "Put right for good · 1 tick each",
    "close": "End it",
}
DECLARE = "declare_resolved"
TICKS = re.compile(r"tick \d+ of (\d+)")
"""Where an opening tells how many ticks there are."""


class FirewatchScenes(EnvironmentView):
    """See `openenv_kit.page.environment_view.EnvironmentView`."""

    style_folder = Path(__file__).parent
    tool_groups: ClassVar[Mapping[str, Sequence[str]]] = {
        TITLES[group].partition(":")[0].partition(" ·")[0]: names for group, names in GROUPS.items()
    }

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.link_title = "Firewatch"
        self.headline = "Can an AI agent end this incident?"
        self.sentences = (
            "Each episode is a simulated incident: services that call each other are failing, "
            "and customers notice.",
            "The player, a language model or you, looks at metrics and logs, repairs what is "
            "broken, and declares the incident over. Time passes with every action.",
            "The score from 0 to 1 is the share of the customers’ harm that was spared.",
        )

    def overview_html(
        self,
        steps: PlaybackSteps,
        reset: Mapping[str, Any],
        selection: str = "",
        rows: Sequence[EditorRow] = (),
    ) -> str:
        play = story(steps, selection)
        if play is None:
            return ""
        found = courses_of(reset, play)
        harm = harm_html(found, "this play") if found else ""
        graph = f"<div>{graph_html(play, found.roots if found else ())}</div>"
        return f'{panels.headline_html(play)}<div class="fw-picture">{graph}{harm}</div>'

    def details_html(self, visitor: Visitor) -> str:
        play = story(visitor.playback_steps, visitor.selection)
        if play is None:
            return ""
        chosen = ""
        if play.chosen:
            chosen = heading_html(play.chosen) + metrics_html(play) + panels.logs_html(play)
        return (
            chosen
            + heading_html("Alerts")
            + panels.alerts_html(play)
            + heading_html("Services")
            + panels.services_html(play, choose=True)
        )

    def result_headline(self, steps: PlaybackSteps) -> str:
        play = story(steps)
        score = float(steps[-1].observation.get("reward") or 0.0)
        if play is None or not over(play):
            return f"Not declared over: {score:.2f}"
        resolved = play.now["score_parts"]["resolved"] == 1
        return f"{'Mended and declared' if resolved else 'Not mended'}: {score:.2f}"

    def score_explanation_html(self, steps: PlaybackSteps, reset: Mapping[str, Any]) -> str:
        play = story(steps)
        if play is None or not over(play):
            return message_box_html(str(steps[-1].observation.get("message") or ""))
        score = collapsed_score_components_html(
            score_html(play, courses_of(reset, play), "this play")
        )
        parts = play.now["score_parts"]
        resolved = parts["resolved"] == 1
        unneeded = parts["unneeded"]
        said = "The incident was over when you said so." if resolved else "It was not over."
        if unneeded:
            said += f" Changes that nobody needed: {unneeded}."
        if resolved and not unneeded:
            return message_box_html(said, "good") + score
        way = create_playback_of_policy(
            self.environment.policies["reference"], reset, self.environment
        )
        calls = " → ".join(action_text(frame.action) for frame in way.steps[1:])
        mended = f"<h3>What would have mended it</h3><p>{escape(calls)}</p>"
        return f"{message_box_html(said, 'bad')}{mended}{score}"

    def question_panel(self, visitor: Visitor) -> QuestionPanel | None:
        play = story(visitor.playback_steps, visitor.selection)
        if visitor.is_done or play is None:
            return None
        groups: dict[str, list[SuggestedCall]] = {}
        for group, names in GROUPS.items():
            calls = []
            for name in names:
                tool = CATALOGUE.find_tool(name)
                needs = list(tool.parameters.get("required", ()))
                if TARGET in tool.parameters["properties"]:
                    if play.chosen and needs == [TARGET]:
                        calls.append(SuggestedCall(humanize(name), name, {TARGET: play.chosen}))
                elif not needs:
                    calls.append(SuggestedCall(humanize(name), name))
            groups[TITLES[group]] = calls
        suggested = {TARGET: [play.service, *play.services]}
        if not play.chosen:
            return QuestionPanel("Click a service to act on it", groups, "", suggested)
        view = play.now["services"][play.chosen]
        status = escape(view["status"])
        known = f"<p>Outside probes: {status}. Tools with settings are at the bottom.</p>"
        return QuestionPanel(play.chosen, groups, known, suggested)

    def suggest_next_step(self, visitor: Visitor) -> NextStepHint:
        play = story(visitor.playback_steps, visitor.selection)
        if play is None:
            return NextStepHint(str(visitor.last_observation.get("message") or ""))
        changed = any(
            each.group in ("mitigate", "repair") and not each.refused for each in play.moves
        )
        if changed and not play.now["user_impact_active"]:
            text = "Customers are well again. Will it last? Then declare it over."
            return NextStepHint(text, "Declare it over", "ask", json.dumps([DECLARE, {}]))
        services = play.now["services"]
        unwell = [n for n in play.services if health_of_service(services[n]) != "healthy"]
        if not play.chosen:
            first = (unwell or play.services)[0]
            return NextStepHint(
                "Something fails. Look at it first.", f"Look at {first}", "pick", first
            )
        looked = {frame.action.get(TARGET) for frame in visitor.playback_steps}
        if play.chosen not in looked:
            text = f"What do the logs of {play.chosen} say? Each action lets a tick pass."
            value = json.dumps(["fetch_logs", {TARGET: play.chosen}])
            return NextStepHint(text, "Read its logs", "ask", value)
        text = "Follow the calls downwards to where it begins; then mend that."
        for each in unwell:
            if each not in looked:
                return NextStepHint(text, f"Look at {each}", "pick", each)
        return NextStepHint(text, "Go to the repairs", "go", "#mt-ask ul:nth-of-type(3)")

    def format_action_for_display(self, action: Mapping[str, Any]) -> str:
        return action_text(action)

    def reply_html_without_status_and_message(self, observation: Mapping[str, Any]) -> str:
        return f'<p class="fw-message">{escape(str(observation.get("message") or ""))}</p>'


def story(frames: PlaybackSteps, place: str = "") -> Story | None:
    """A play as its replies have told it; None where nothing was told of any service."""
    found = TICKS.search(str(frames[0].observation.get("message") or ""))
    play = Story(frames, int(found[1]) if found else max(len(frames), 1), place)
    if not play.seen:
        return None
    return play if place in play.graph or not place else replace(play, chosen="")
