"""Whole episodes against fake endpoints that enforce each family's documented rules."""

from __future__ import annotations

import pytest

from openenv_kit.agent.prompts import build_last_answer_notice
from support.agent_runs import Play
from support.endpoint_profiles import PROFILES, check_mistral
from support.fake_model import FakeModel
from support.paths import ROOT

ONE = ("--tasks", "easy_single_spike")
ANSWERS = 7
"""Answers of the fake models in an episode: six calls and one text."""


@pytest.mark.parametrize("family", PROFILES)
def test_whole_episode_is_played_against_the_rules_of_each_family(
    play: Play, model: FakeModel, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    from metric_tracker_rl.environment import ENVIRONMENT

    monkeypatch.setattr("openenv_kit.agent.chat_endpoint.FIRST_RETRY_PAUSE_S", 0.01)
    monkeypatch.setenv("MAX_TOOL_ROUNDS", str(ANSWERS))  # so that the last one is announced
    if PROFILES[family].key:
        ran = play(*ONE, model=f"family-{family}", server=model)
    else:
        monkeypatch.setenv("API_BASE_URL", model.url)
        monkeypatch.setenv("MODEL_NAME", f"family-{family}")
        ran = play(*ONE)
    assert ran.code == 0, ran.err
    assert ran.tasks[0]["score"] == 1.0
    assert ran.tasks[0]["model_calls"] == ANSWERS
    assert not any(step.error for step in ran.blocks[0].steps)
    last = model.requests[-1]["messages"][-1]
    assert last["role"] == "tool"
    assert last["content"].endswith(
        build_last_answer_notice(ENVIRONMENT.tools.select_for_episode())
    )
    if family == "router":
        assert ran.tasks[0]["cost_usd"] == pytest.approx(ANSWERS * 0.001)


def test_profile_refuses_what_its_family_refuses(model: FakeModel) -> None:
    request = {"messages": [{"role": "tool", "content": "x"}, {"role": "user", "content": "y"}]}
    refusals = list(check_mistral(model, request))
    assert "Unexpected role 'user' after role 'tool'" in refusals[0]["message"]


def test_table_of_families_in_the_docs_has_every_profile() -> None:
    text = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")
    rows = text.partition("| family |")[2].partition("\n\n")[0].splitlines()[2:]
    named = [row.split("|")[1].strip() for row in rows]
    assert named == [
        "OpenAI",
        "vLLM",
        "llama.cpp",
        "Mistral",
        "Gemini",
        "DeepSeek",
        "Anthropic-compatible",
        "a router, such as OpenRouter",
    ]
    assert len(named) == len(PROFILES)
