"""Tool calls in text: the last complete one outside the thinking is executed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from openenv_kit.agent.text_calls import find_tool_call_written_as_text
from openenv_kit.trainers.text_tool_calls import parse_tool_calls_in_text


def say(name: str, **arguments: Any) -> str:
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


REHEARSED, REAL = say("submit_solution", rows=[]), say("list_dates")
INSIDE = {
    "think": f"<think>Perhaps {REHEARSED}?</think>",
    "thinking": f"<thinking>{REHEARSED}</thinking>",
    "reasoning": f"<reasoning>{REHEARSED}</reasoning>",
    "thought": f"<thought>{REHEARSED}</thought>",
    "upper case and spaces": f"< THINK >{REHEARSED}</ Think >",
    "attributes": f'<think budget="9">{REHEARSED}</think>',
    "namespace": f"<seed:think>{REHEARSED}</seed:think>",
    "square": f"[THINK]{REHEARSED}[/THINK]",
    "arrows": f"◁think▷{REHEARSED}◁/think▷",
    "words": f"<|START_THINKING|>{REHEARSED}<|END_THINKING|>",
    "thought words": f"<|begin_of_thought|>{REHEARSED}<|end_of_thought|>",
    "nested": f"<think>a <think>b</think> {REHEARSED}</think>",
    "nested in another": f"<reasoning><think>b</think>{REHEARSED}</reasoning>",
    "two sections": f"<think>{REHEARSED}</think> So: <think>{REHEARSED}</think>",
    "only an end": f"Perhaps {REHEARSED}? No.</think>",
    "only two ends": f"Perhaps </think> {REHEARSED}? No.</think>",
    "end in an argument": f"<think>{say('submit_solution', stop_reason='</think>')}</think>",
    "call cut off": f"{REHEARSED[:-20]}</think>",
}
OPEN = {
    "unclosed": f"<think>Perhaps {REHEARSED}",
    "unclosed after a section": f"<think>a</think><think>{REHEARSED}",
    "inner one closed": f"<think>a <think>b</think> {REHEARSED}",
    "closed by another": f"<think>{REHEARSED}</reasoning>",
    "cut off by the stop string": f"<think>{REHEARSED.removesuffix('</tool_call>')}",
}


def names_of(text: str) -> list[str]:
    return [call.name for call in parse_tool_calls_in_text(text).calls]


@pytest.mark.parametrize("text", INSIDE.values(), ids=INSIDE)
def test_call_in_thinking_is_ignored_and_the_later_call_is_found(text: str) -> None:
    assert names_of(text) == []
    assert names_of(f"{text}\n{REAL}") == ["list_dates"]


@pytest.mark.parametrize("text", OPEN.values(), ids=OPEN)
def test_call_in_thinking_without_an_end_is_not_found(text: str) -> None:
    found = parse_tool_calls_in_text(text)
    assert (found.calls, found.has_unreadable_call, found.has_call_in_thinking) == ([], False, True)


@pytest.mark.parametrize("text", [*INSIDE.values(), *OPEN.values()], ids=[*INSIDE, *OPEN])
def test_agent_does_not_take_a_call_in_thinking_for_one_in_the_text(text: str) -> None:
    assert find_tool_call_written_as_text(text, ["list_dates"]) == ""


@pytest.mark.parametrize("tag", ["<think>", "</think>", "<tool_call>", "</tool_call>", "[THINK]"])
def test_tag_in_an_argument_is_part_of_the_argument(tag: str) -> None:
    (call,) = parse_tool_calls_in_text(say("rows_for_date", date=f"a {tag} b")).calls
    assert call.arguments == {"date": f"a {tag} b"}
    assert names_of(say("rows_for_date", date=tag) + REAL) == ["rows_for_date", "list_dates"]


@pytest.mark.parametrize(
    "body", ["{", "[]", "3", "null", '{"arguments": {}}', '{"name": 3}', "[" * 100_000, "x"]
)
def test_call_that_cannot_be_read_is_left_out_but_noticed(body: str) -> None:
    found = parse_tool_calls_in_text(f"<tool_call>{body}</tool_call>")
    assert (found.calls, found.has_unreadable_call) == ([], True)
    found = parse_tool_calls_in_text(f"{REAL}<tool_call>{body}")
    assert ([call.name for call in found.calls], found.has_unreadable_call) == (
        ["list_dates"],
        True,
    )


class BaseTextEnv:
    """As far as SkyRL's base class is needed here."""

    def __init__(self) -> None:
        self.turns, self.max_turns = 0, 1


@pytest.fixture
def skyrl(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """SkyRL's adapter against a stand-in for its library; check_integrations runs it in SkyRL."""
    stand_ins = {
        "skyrl_gym": {},
        "skyrl_gym.envs": {},
        "skyrl_gym.envs.base_text_env": {
            "BaseTextEnv": BaseTextEnv,
            "BaseTextEnvStepOutput": dict,
        },
        "skyrl_gym.envs.registration": {"register": None, "registry": {}},
    }
    for name, members in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "openenv_kit.trainers.skyrl", raising=False)
    yield importlib.import_module("openenv_kit.trainers.skyrl")
    sys.modules.pop("openenv_kit.trainers.skyrl", None)


def begin(skyrl: Any) -> Any:
    (row,) = skyrl.build_dataset_rows("train", count=1)
    episode = skyrl.TextEpisode({}, {"reset": row["reset"]})
    episode.init(row["prompt"])
    return episode


@pytest.mark.parametrize("text", INSIDE.values(), ids=INSIDE)
def test_text_episode_makes_the_call_after_the_thinking(skyrl: Any, text: str) -> None:
    turn = begin(skyrl).step(f"{text}\n{REAL}")
    assert not turn["done"]
    assert '"dates"' in turn["observations"][0]["content"]


@pytest.mark.parametrize("text", [*INSIDE.values(), *OPEN.values()], ids=[*INSIDE, *OPEN])
def test_text_episode_answers_a_call_in_thinking_alone_without_making_it(
    skyrl: Any, text: str
) -> None:
    episode = begin(skyrl)
    turn = episode.step(text)
    assert (turn["done"], turn["reward"], turn["metadata"]["tool_calls"]) == (False, 0.0, 0)
    assert "inside the thinking" in turn["observations"][0]["content"]
    assert '"dates"' in episode.step(REAL)["observations"][0]["content"]


def test_text_episode_makes_the_last_complete_call_of_a_turn(skyrl: Any) -> None:
    turn = begin(skyrl).step(f'{REHEARSED}{REAL}<tool_call>{{"name": "submit_solution", "argu')
    assert not turn["done"]
    assert '"dates"' in turn["observations"][0]["content"]


def test_text_episode_ends_with_a_turn_that_calls_nothing(skyrl: Any) -> None:
    turn = begin(skyrl).step("<think>Nothing to report.</think> There are no anomalies.")
    assert (turn["done"], turn["reward"]) == (True, 0.0)
