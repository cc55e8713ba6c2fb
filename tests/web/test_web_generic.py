"""The page of an environment without scenes of its own, which the kit has never seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import tiny_environment
from conftest import Visit, WebServer, page_client, web_server
from fake_model import SCRIPTS, answer, fake_model
from playwright.sync_api import expect
from tiny_environment import Tiny

import openenv_kit.environment as kit
from openenv_kit.errors import InvalidValueError, ToolArgumentError
from openenv_kit.page import forms, generic
from openenv_kit.page.scenes import Scenes, scenes_of
from openenv_kit.page.state import Visitor
from openenv_kit.play.driver import moves, observed
from openenv_kit.play.recording import RunRecorder
from openenv_kit.tools.catalogue import ToolSpec

pytestmark = pytest.mark.slow

OpenVisit = Callable[..., Visit]


@pytest.fixture(scope="module")
def tiny_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server of the tiny environment's page; its models run on loopback."""
    log = tmp_path_factory.mktemp("tiny") / "server.log"
    variables = {"ENVIRONMENT": "tiny", "METRIC_TRACKER_PRIVATE_ENDPOINTS": "true"}
    with web_server(log, "tests/web/tiny_environment.py", **variables) as server:
        yield server


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    """The tiny environment as the one that this process serves."""
    monkeypatch.setattr(kit, "environments", tiny_environment.installed)
    monkeypatch.setenv(kit.VARIABLE, "tiny")
    kit.get_environment.cache_clear()
    yield kit.get_environment()
    kit.get_environment.cache_clear()


@pytest.fixture
def mine(visit: OpenVisit, tiny_server: WebServer) -> Visit:
    return visit(url=tiny_server.url, told="A number is hidden.")


def record(path: Path, environment: Tiny) -> None:
    """A recorded run of the reference policy, on a task of a split."""
    session, reset = environment.session(), environment.splits.task("train", 2).reset_arguments()
    opening = session.reset(**reset)
    with path.open("w") as stream:
        recorder = RunRecorder(stream, "reference", reset, observed(opening))
        for action, reply in moves(session, environment.policies["reference"], opening):
            recorder.step(action, observed(reply))
        recorder.end(reply.reward)


@pytest.mark.browser
def test_a_task_of_a_split_is_solved_with_forms_alone(mine: Visit) -> None:
    page = mine.page
    assert page.title() == "Tiny"
    mine.sees("#mt-card blockquote", "Find it, <b>then</b> answer.")
    page.click("#mt-start")
    mine.sees("#mt-status", "0 of 9 steps")
    mine.choose("#mt-split", "train")
    page.get_by_label("Task of the split").fill("4")
    page.get_by_label("max steps").fill("7")
    page.get_by_label("max steps").press("Tab")
    page.click("#mt-start")
    mine.sees("#mt-card", "train-4")
    mine.sees("#mt-status", "0 of 7 steps")
    mine.tab("Play")
    mine.choose("#mt-method", "list_numbers")
    page.click("#mt-run")
    expect(page.locator("#mt-answer tbody tr")).to_have_count(2)
    mine.choose("#mt-method", "look")
    mine.choose("#mt-form-look", "above")
    digit = page.locator("#mt-form-look input[type=number]")
    digit.fill("12")
    page.click("#mt-run")
    mine.sees("#mt-answer", "digit is 12; allowed: an integer from 0 to 9")
    digit.fill("3")
    page.click("#mt-run")
    mine.sees("#mt-answer", "yes")
    mine.choose("#mt-method", "answer")
    page.locator("#mt-form-answer input[type=number]").fill("4")
    page.click("#mt-run")
    mine.sees("#mt-answer", "1.0000")
    mine.sees("#mt-status", "4 of 7 steps · over")
    log = mine.text("#mt-log")
    for call in ("list_numbers(most=2)", 'look(side="above", digit=3)', "answer(digit=4)"):
        assert call in log


@pytest.mark.browser
def test_a_policy_a_model_and_a_recording_are_watched(
    mine: Visit, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, path = mine.page, tmp_path / "run.jsonl"
    mine.tab("Watch")
    page.click("#mt-watch-policy")
    mine.sees("#mt-scene", "step 0 of")
    page.click("#mt-end")
    mine.sees("#mt-scene", "answer(digit=3)")
    mine.sees("#mt-scene", "1.0000")
    mine.tab("Recording")
    record(path, tiny)
    with page.expect_file_chooser() as chooser:
        page.click("#mt-upload")
    chooser.value.set_files(path)
    mine.sees("#mt-scene", "step 0 of 5")
    page.click("#mt-end")
    mine.sees("#mt-scene", "answer(digit=2)")
    mine.sees("#mt-scene", "The answer is the recorded one.")
    calls = iter([("look", {"side": "left", "digit": 1}), ("find", {}), ("answer", {"digit": 3})])
    monkeypatch.setitem(SCRIPTS, "tiny", lambda *_: answer(next(calls)))
    with fake_model() as model:
        mine.tab("Model")
        address = page.get_by_label("OpenAI-compatible endpoint")
        page.get_by_label("Model", exact=True).fill("tiny")
        page.locator("#mt-key input").fill("sk-some-key")
        address.fill(model.url)
        expect(address).to_have_value(model.url)
        page.click("#mt-watch-model")
        mine.sees("#mt-scene", "tiny · step")
        page.click("#mt-end")
        mine.sees("#mt-scene", "1.0000")
        told = model.requests[0]["messages"]
    assert [each["content"] for each in told] == ["You look for a number.", tiny_environment.STORY]
    page.locator("#mt-frames button", has_text="look(").click()
    mine.sees("#mt-scene", "Unknown side 'left'")
    page.locator("#mt-frames button", has_text="find()").click()
    mine.sees("#mt-scene", "Unknown tool 'find'")


def test_a_program_starts_and_asks(tiny_server: WebServer) -> None:
    with page_client(tiny_server.url) as client:
        opening = json.loads(client.predict({"number": 5}, api_name="/start"))
        assert opening["story"] == tiny_environment.STORY
        final = json.loads(client.predict("answer", {"digit": 5}, api_name="/ask"))
        assert (final["reward"], final["done"]) == (1.0, True)


def test_an_environment_without_scenes_gets_the_generic_ones(tiny: Tiny) -> None:
    scenes = scenes_of()
    assert type(scenes) is Scenes
    assert list(scenes.tabs(debug=True)) == ["Episode", "Play", "Watch"]
    assert scenes.environment is tiny


@pytest.mark.parametrize("action", [{}, {"tool": 7}, {"tool": "look", "arguments": 3}])
def test_no_action_of_a_recording_breaks_the_page(tiny: Tiny, action: dict[str, Any]) -> None:
    assert scenes_of().describe(action) == repr(action)


def test_a_reset_is_read_from_the_form(tiny: Tiny) -> None:
    def read(*given: Any) -> dict[str, Any]:
        return generic.reset_of(tiny, *given)

    named = generic.NO_SPLIT
    for untouched in (None, 9):
        assert read("seven", named, 0, "", untouched) == {"task_id": "seven", "number": 7}
    assert read("seven", "train", 2, "", 5) == {"task_id": "train-2", "number": 2, "max_steps": 5}
    assert read("three", named, 0, '{"number": 9}', None) == {"task_id": "three", "number": 9}
    for further in ("[", "[1]"):
        with pytest.raises(InvalidValueError, match="allowed: a JSON object"):
            read("three", named, 0, further, None)
    with pytest.raises(InvalidValueError, match="index is 10"):
        read("three", "train", 10, "", None)


SCHEMAS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "text": ({"type": "string"}, "some", "some"),
    "no_text": ({"type": "string"}, "", forms.OMIT),
    "whole": ({"type": "integer"}, " 2 ", 2),
    "share": ({"type": "number"}, "0.5", 0.5),
    "nothing": ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, " ", forms.OMIT),
    "choice": ({"enum": ["a", "b"]}, "b", "b"),
    "several": ({"type": "array", "items": {"enum": ["a", "b"]}}, ["a"], ["a"]),
    "none_of_several": ({"type": "array", "items": {"enum": ["a"]}}, [], forms.OMIT),
    "switch": ({"type": "boolean"}, False, False),
    "things": ({"type": "array", "items": {"type": "object"}}, "[{}]", [{}]),
    "thing": ({"type": "object"}, '{"a": 1}', {"a": 1}),
    "anything": ({}, "[1]", [1]),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_input_of_every_kind_gives_the_argument_that_was_meant(name: str) -> None:
    schema, typed, meant = SCHEMAS[name]
    tool = ToolSpec("act", "", {"type": "object", "properties": {name: schema}}, dict)
    with gr.Blocks():
        (form,) = forms.build_forms([tool], "act")
    expected = {} if meant is forms.OMIT else {name: meant}
    assert form.arguments([typed], Visitor()) == expected
    optional = [form.fields[0].component.value]
    assert form.arguments(optional, Visitor()) == {}, "an optional argument is sent as untouched"


def test_a_text_that_is_no_number_is_refused_by_name() -> None:
    schema = {"type": "object", "properties": {"most": {"type": "integer", "maximum": 9}}}
    with gr.Blocks():
        (form,) = forms.build_forms([ToolSpec("act", "", schema, dict)], "act")
    assert form.fields[0].component.info == "at most 9"
    with pytest.raises(InvalidValueError, match="most is 'all'; allowed: a number, or nothing"):
        form.arguments(["all"], Visitor())


def test_a_call_that_is_not_an_action_costs_no_step(tiny: Tiny) -> None:
    visitor = scenes_of().visitor()
    with pytest.raises(ToolArgumentError, match="Nothing was submitted"):
        visitor.call("answer", {})
    assert visitor.progress["step_count"] == 0
    assert not visitor.session.done


def test_a_forgotten_visitor_starts_with_nothing(tiny: Tiny) -> None:
    visitor = scenes_of().visitor()
    visitor.call("list_numbers", {})
    visitor.clear()
    assert (visitor.started, visitor.log, visitor.reply) == (False, [], None)
