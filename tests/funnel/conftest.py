"""Sessions of the funnel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from support.funnel_episodes import perfect_report, started, submit


@pytest.fixture
def session() -> Iterator[EpisodeSession]:
    """A running episode that must still be playable to the full score afterwards."""
    session = started(task_id="medium_mixed_pair")
    yield session
    reply = submit(session, perfect_report(session))
    assert (reply.status, reply.reward) == ("evaluated", 1.0)
