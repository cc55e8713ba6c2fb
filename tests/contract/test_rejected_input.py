"""Rejected input: every environment names what is allowed, and the episode continues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.environment import Session
from support.funnel_episodes import perfect_report, started, submit
from support.playable_environments import DRILLDOWN, FIREWATCH, FUNNEL, GAMES, Game
from support.rejected_replies import message_of_rejection

NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def session() -> Iterator[EpisodeSession]:
    """A running episode that must still be playable to the full score afterwards."""
    session = started(task_id="medium_mixed_pair")
    yield session
    reply = submit(session, perfect_report(session))
    assert (reply.status, reply.reward) == ("evaluated", 1.0)


@pytest.fixture
def playing(game: Game) -> Iterator[Session]:
    """A running episode of each environment, that must still be playable to a score afterwards."""
    session = game.environment.create_session()
    reset, actions = game.solved
    assert session.reset(**reset).status == game.opened
    yield session
    replies = [session.step(action) for action in actions]
    last = next(reply for reply in replies if reply.done)  # what was refused may have cost steps
    assert (last.reward or 0.0) > 0.25


BAD_RESETS = {
    FUNNEL.name: [
        ({"task_id": "easy_spike"}, "Unknown task_id 'easy_spike'. Did you mean 'easy_single_spi"),
        ({"task_id": 7}, "Unknown task_id 7. Allowed: easy_single_spike, medium_mixed_pair"),
        ({"scenario_family": "rate_drop"}, "Did you mean 'rate_drop_from_median'?"),
        ({"scenario_family": []}, "Unknown scenario_family []. Allowed: rate_drop_from_median"),
        ({"difficulty": "Hard"}, "Unknown difficulty 'Hard'. Did you mean 'hard'? Allowed: easy"),
        ({"difficulty": 3}, "difficulty is 3; allowed: a name, or a number from 0 to 1."),
        ({"difficulty": "0.5"}, "Unknown difficulty '0.5'. Allowed: easy, medium, hard"),
        ({"anomaly_density": "hihg"}, "Did you mean 'high'? Allowed: low, medium, high."),
        ({"anomaly_density": []}, "Unknown anomaly_density []. Allowed: low, medium, high."),
        ({"anomaly_count": -1}, "anomaly_count is -1; allowed: an integer from 0 to 7."),
        ({"anomaly_count": 8}, "anomaly_count is 8; allowed: an integer from 0 to 7."),
        ({"anomaly_count": True}, "anomaly_count is True; allowed: an integer"),
        ({"anomaly_count": 2.0}, "anomaly_count is 2.0; allowed: an integer"),
        ({"anomaly_count": NAN}, "anomaly_count is nan; allowed: an integer"),
        ({"seed": -1}, "seed is -1; allowed: an integer from 0 to 18446744073709551615."),
        ({"seed": 2**64}, "seed is 18446744073709551616; allowed: an integer from 0 to"),
        ({"seed": 1.5}, "seed is 1.5; allowed: an integer"),
        ({"seed": "11"}, "seed is '11'; allowed: an integer"),
        ({"seed": False}, "seed is False; allowed: an integer"),
        ({"seed": INFINITY}, "seed is inf; allowed: an integer"),
        ({"task": "easy"}, "Did you mean 'task_id'?"),
        ({"anomalies": {}}, "anomalies is {}; allowed: a list"),
        ({"anomalies": [3]}, "anomaly is 3; allowed: an object"),
        ({"anomalies": [{}] * 51}, "number of anomalies is 51; allowed: at most 50"),
    ],
    FIREWATCH.name: [
        ({"task_id": "task_easy_oom_basline"}, "Did you mean 'task_easy_oom_baseline'?"),
        ({"task_id": 7}, "Unknown task_id 7. Allowed: task_easy_oom_baseline, task_easy_pool"),
        ({"difficulty": "brutal"}, "Unknown difficulty 'brutal'. Allowed: easy, medium, hard"),
        ({"difficulty": []}, "difficulty is []; allowed: a name, or a number from 0 to 1."),
        ({"seed": "42"}, "seed is '42'; allowed: a whole number."),
        ({"seed": True}, "seed is True; allowed: a whole number."),
        ({"seed": NAN}, "seed is nan; allowed: a whole number."),
        ({"split": "trane"}, "Unknown split 'trane'. Did you mean 'train'?"),
        ({"split": "sealed"}, "SEALED_SALT is None; allowed: a secret of at least 32"),
        ({"split": "train", "index": -1}, "index is -1; allowed: an integer from 0 to "),
        ({"split": "train", "index": 10**9}, "index is 1000000000; allowed: an integer from 0 to "),
        ({"split": "train", "index": 2.0}, "index is 2.0; allowed: an integer from 0 to "),
        ({"task": "easy"}, "Did you mean 'task_id'?"),
    ],
}


SERVICE = min(
    FIREWATCH.environment.create_session()
    .reset(**FIREWATCH.solved[0])
    .observation_fields["services"]
)


SHOUT = "x" * 100_000


LOUD: dict[str, list[dict[str, Any]]] = {
    FUNNEL.name: [
        {"analysis_method": SHOUT},
        {"analysis_method": "rows_for_date", "analysis_args": {"date": SHOUT}},
        {"analysis_method": "list_dates", "analysis_args": {SHOUT: 1}},
    ],
    FIREWATCH.name: [
        {"action_type": SHOUT},
        {"action_type": "fetch_logs", "target_service": SHOUT},
        {"action_type": "fetch_logs", "target_service": SERVICE, "parameters": {SHOUT: 1}},
        {
            "action_type": "set_log_level",
            "target_service": SERVICE,
            "parameters": {"level": SHOUT},
        },
    ],
    DRILLDOWN.name: [
        {"tool": SHOUT},
        {"tool": "slice", "arguments": {"group_by": [SHOUT]}},
        {"tool": "slice", "arguments": {SHOUT: 1}},
        {"tool": "compare", "arguments": {"dates": [[SHOUT, SHOUT]]}},
    ],
}


@pytest.mark.parametrize(
    ("game", "bad", "expected"),
    [(GAMES[name], *row) for name, rows in BAD_RESETS.items() for row in rows],
    ids=lambda value: value.name if isinstance(value, Game) else str(value)[:40],
)
def test_rejected_reset_names_what_is_allowed_and_keeps_the_episode(
    playing: Session, game: Game, bad: dict[str, Any], expected: str
) -> None:
    before = playing.state()
    assert expected in message_of_rejection(playing.reset(**bad))
    assert playing.state() == before


@pytest.mark.parametrize(
    ("game", "action", "expected"),
    [
        *(
            (game, raw, f"action is {raw!r}; allowed: an object.")
            for game in GAMES.values()
            for raw in ([], None, 7, "text")
        ),
        (FUNNEL, {"analysis_method": "list_date"}, "Did you mean 'list_dates'?"),
        (FUNNEL, {"analysis_method": 17}, "analysis_method is 17; allowed: text or null."),
        (FIREWATCH, {"action_type": "fetch_log"}, "Did you mean 'fetch_logs'?"),
        (FIREWATCH, {"action_type": 17}, "Unknown action_type 17. Allowed: "),
        (FIREWATCH, {}, "Unknown action_type None. Allowed: "),
        (DRILLDOWN, {"tool": "slise"}, "Did you mean 'slice'?"),
        (DRILLDOWN, {"tool": 17}, "Unknown tool 17. Allowed: "),
        (DRILLDOWN, {"tool": "slice", "arguments": {"measure": "rate"}}, "rates"),
        (FIREWATCH, {"action_type": "fetch_logs"}, "Unknown target_service None. Allowed: "),
        (FIREWATCH, {"action_type": "fetch_logs", "target_service": {"a": 1}}, "{'a': 1}"),
        (
            FIREWATCH,
            {"action_type": "fetch_logs", "target_service": f"{SERVICE}s"},
            f"Did you mean '{SERVICE}'?",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Game) else str(value)[:40],
)
def test_rejected_action_names_what_is_allowed_and_keeps_the_episode(
    playing: Session, game: Game, action: Any, expected: str
) -> None:
    assert expected in message_of_rejection(playing.step(action))


def test_error_message_truncates_long_input(playing: Session, game: Game) -> None:
    for reply in (
        *map(playing.step, LOUD[game.name]),
        playing.reset(task_id=SHOUT),
        playing.reset(**{SHOUT: 1}),
    ):
        assert len(reply.message) < 2_000
        assert SHOUT[:200] not in str(reply)
