"""The funnel's sealed splits."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from metric_tracker_rl.engine.configuration.splits import SEALED_SPLIT, SPLITS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.wire_models import RewardBreakdown
from openenv_kit.cli import app
from openenv_kit.errors import InvalidValueError
from openenv_kit.sealed_split import SALT_VARIABLE

SALT = "a salt that nobody knows, of some length"


@pytest.fixture
def salted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)


def seeds(split: str, count: int = 2304) -> set[int]:
    return {SPLITS.task(split, index).config.seed for index in range(count)}


def sealed_end(session: EpisodeSession) -> dict[str, Any]:
    assert session.episode is not None
    rows = [row.as_dict() for row in session.episode.expected_rows]
    return session.step(
        {"classifications": [*rows, {**rows[0], "date": "1999-01-01"}]}
    ).observation_fields


def _with_rows(split: str) -> int:
    return next(i for i in range(200) if SPLITS.task(split, i).config.anomaly_count == 3)


def test_the_sealed_split_needs_a_salt_of_some_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    with pytest.raises(InvalidValueError, match="at least 32"):
        SPLITS.task(SEALED_SPLIT, 0)
    monkeypatch.setenv(SALT_VARIABLE, "short secret")
    with pytest.raises(InvalidValueError) as caught:
        SPLITS.task(SEALED_SPLIT, 0)
    assert "short secret" not in str(caught.value)


def test_another_salt_makes_other_sealed_tasks_and_leaves_the_public_ones(
    monkeypatch: pytest.MonkeyPatch, salted: None
) -> None:
    sealed, public = seeds(SEALED_SPLIT, 200), seeds("test", 200)
    monkeypatch.setenv(SALT_VARIABLE, SALT + "!")
    assert not sealed & seeds(SEALED_SPLIT, 200)
    assert public == seeds("test", 200)


@pytest.mark.slow
def test_the_commitment_is_checked_with_the_salt_and_fails_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = CliRunner()
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    made = run.invoke(app, ["seal"]).output.strip()
    assert len(made) == 64
    assert SALT not in made
    assert run.invoke(app, ["seal", "--check", made]).exit_code == 0
    monkeypatch.setenv(SALT_VARIABLE, SALT + "!")
    assert run.invoke(app, ["seal", "--check", made]).exit_code == 1
    monkeypatch.delenv(SALT_VARIABLE)
    assert run.invoke(app, ["seal"]).exit_code == 2


def test_end_of_sealed_episode_contains_only_the_score(salted: None) -> None:
    index = _with_rows(SEALED_SPLIT)
    session = EpisodeSession()
    opening = session.reset(split=SEALED_SPLIT, index=index)
    assert opening.observation_fields["config"]["feedback"] == "score"
    assert str(SPLITS.task(SEALED_SPLIT, index).config.seed) not in repr(opening)
    content = sealed_end(session)
    score = content["reward_breakdown"].total_score
    assert 0.0 < score < 1.0
    assert content["reward_breakdown"] == RewardBreakdown(total_score=score)
    assert content["expected_row_count"] is None
    assert set(content) == {"reward_breakdown", "expected_row_count"}
    # The same end on a public split tells which rows were wrong.
    public = EpisodeSession()
    public.reset(split="test", index=_with_rows("test"))
    full = sealed_end(public)
    assert full["submission_issues"]
    assert full["expected_row_count"] == 3
    assert EpisodeSession().reset(split=SEALED_SPLIT, feedback="full").status == "error"


def test_a_sealed_split_takes_no_practice_and_no_debug_mode(salted: None) -> None:
    assert EpisodeSession().reset(split=SEALED_SPLIT, max_submissions=2).status == "error"
    assert EpisodeSession(debug=True).reset(split=SEALED_SPLIT).status == "error"
    assert EpisodeSession(debug=True).reset(split="test").status == "ready"
