"""Whatever arrives as an action is answered, and costs one tick at most."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firewatch_env.actions import ACTIONS
from firewatch_env.evidence.observation import nothing
from firewatch_env.session import FirewatchSession as Session
from firewatch_env.tasks.book import find

SERVICES = sorted(find({"task_id": "task_hard_gray_failure"}).services)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
SENSIBLE = st.fixed_dictionaries(
    {"action_type": st.sampled_from(sorted(ACTIONS)), "target_service": st.sampled_from(SERVICES)},
    optional={
        "parameters": st.dictionaries(
            st.sampled_from(
                ["replicas", "memory_limit_mb", "state", "drain_percentage", "undo", "x"]
            ),
            JSON,
        )
    },
)
ODD = st.dictionaries(st.sampled_from(["action_type", "target_service", "parameters"]), JSON)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(SENSIBLE | ODD, max_size=45))
def test_any_actions_at_all(actions: list[Any]) -> None:
    session = Session()
    reply = session.reset(task_id="task_hard_gray_failure")
    ticks = 0
    for action in actions:
        over = reply.done
        reply = session.step(action)
        ticks += not over
        assert tuple(reply.observation_fields) == (*nothing(), "score_parts")
        assert reply.observation_fields["sim_tick"] == ticks <= 40
        assert 0 <= reply.observation_fields["slo_budget_remaining_pct"] <= 100
        assert isinstance(reply.reward, float)
        assert 0 <= reply.reward <= 1
        json.dumps([reply.observation_fields, reply.info], allow_nan=False)
        assert reply.done == (
            over or ticks == 40 or action.get("action_type") == "declare_resolved"
        )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["task_id", "difficulty", "seed", "split", "index", "episode_id"]), JSON
    )
)
def test_any_arguments_of_reset(arguments: dict[str, Any]) -> None:
    reply = Session().reset(**arguments)
    assert bool(reply.info["error"]) == (reply.observation_fields["services"] == {})


@pytest.mark.slow
def test_the_package_needs_no_server_and_no_framework() -> None:
    code = (
        "import sys, firewatch_env.play, firewatch_env.certificate;"
        "bad = {'fastapi', 'starlette', 'uvicorn', 'gradio', 'openai', 'openenv', 'pydantic',"
        " 'pandas', 'httpx'} & {name.split('.')[0] for name in sys.modules};"
        "sys.exit(', '.join(bad) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
