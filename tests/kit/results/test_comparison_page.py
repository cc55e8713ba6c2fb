"""The page of `metric-tracker compare`, opened in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from openenv_kit.environment import Environment, get_environment
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.results.comparison_page import compare_players, write_comparison_page
from openenv_kit.results.scored_episodes import read_player_results
from openenv_kit.rollouts.run_policy import iter_policy_steps

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def record(path: Path, environment: Environment, tasks: int = 4) -> None:
    """Write down how keyword rules play the first tasks of the validation split."""
    policy = environment.policies["keyword_rules"]
    with path.open("w") as stream:
        for index in range(tasks):
            session, reset = environment.create_session(), {"split": "validation", "index": index}
            opening = session.reset(**reset)
            run = RunRecorder(
                stream, policy.name, reset, observation_from_reply(opening), environment
            )
            score = 0.0
            for action, reply in iter_policy_steps(session, policy, opening):
                run.record_step(action, observation_from_reply(reply))
                score = reply.reward or 0.0
            run.record_end(score)


@pytest.mark.parametrize("width", [390, 1400])
def test_it_loads_nothing_and_fits(browser: BrowserContext, tmp_path: Path, width: int) -> None:
    firewatch = get_environment("firewatch")
    plays = tmp_path / "plays.jsonl"
    record(plays, firewatch)
    players = read_player_results([("", plays), ("again", plays)], firewatch)
    path = tmp_path / "page.html"
    write_comparison_page(compare_players(players, "validation", firewatch), path)
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    events: list[str] = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda problem: events.append(str(problem)))
    page.on("request", lambda asked: events.append(asked.url))
    page.goto(path.as_uri())
    assert [each for each in events if not each.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#players tbody tr").count() == 2
    assert page.locator("#episodes tbody tr").count() == len(players[0].rollouts)
    page.close()
