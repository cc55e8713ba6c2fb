"""A submission of row generators that has the wrong shape is explained, never a crash."""

from __future__ import annotations

from typing import Any

import pytest

from metric_tracker_rl.session import Call, EpisodeSession


@pytest.mark.parametrize(
    "method",
    [
        "median_filter",
        5,
        None,
        [],
        {},
        {"method_name": 5},
        {"method_name": "median_filter", "metric_names": 5},
        {"method_name": "median_filter", "metric_names": [{}]},
        {"method_name": "median_filter", "dates": 3},
        {"method_name": "median_filter", "threshold_multiplier": True},
        {"method_name": "median_filter", "bogus": 1},
        {"method_name": "median_filte"},
    ],
)
def test_a_generator_of_the_wrong_shape_is_an_error_and_nothing_is_graded(method: Any) -> None:
    session = EpisodeSession()
    session.reset()
    reply = session.step(Call(payload_generators=[method]))
    assert reply.status == "error"
    assert not reply.done
    assert "reward_breakdown" not in reply.content
    assert session.submissions == 0


def test_a_generator_of_the_right_shape_is_graded() -> None:
    session = EpisodeSession()
    session.reset()
    reply = session.step(Call(payload_generators=[{"method_name": "median_filter"}]))
    assert reply.status == "evaluated"
    assert reply.done
