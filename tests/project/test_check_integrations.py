"""What of the adapters can be held to without a trainer: shapes, names, a chat endpoint."""

import inspect
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter

import pytest
from openai import OpenAI
from typer.testing import CliRunner

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import environment_class
from research.check_integrations import INTEGRATIONS, app
from research.scripted_endpoint import MODEL, ScriptedEndpoint
from support.documentation_blocks import blocks_of
from support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network]

TOOLS = get_environment("metric_tracker_rl").tools.for_episode(None)
HEAVY = ("trl", "verifiers", "inspect_ai", "nemo_gym", "skyrl_gym", "datasets", "torch")


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_plays_an_episode_to_the_reference_policys_score(stream):
    episode = ToolEpisode()
    messages = [{"role": "user", "content": episode.reset({"split": "validation", "index": 3})}]
    with (
        ScriptedEndpoint("reference") as endpoint,
        OpenAI(base_url=endpoint.base_url, api_key="none") as client,
    ):
        while not episode.is_done:
            call = _one_call(client, messages, stream)
            answer = episode.call_tool(call["name"], json.loads(call["arguments"]))
            made = {"id": call["id"], "type": "function", "function": call}
            messages += [
                {"role": "assistant", "content": "", "tool_calls": [made]},
                {"role": "tool", "tool_call_id": call["id"], "content": answer},
            ]
    assert episode.reward == 1.0


def _one_call(client, messages, stream):
    if not stream:
        reply = client.chat.completions.create(
            model=MODEL, messages=messages, tools=TOOLS.chat_tools
        )
        (made,) = reply.choices[0].message.tool_calls
        return {"id": made.id, "name": made.function.name, "arguments": made.function.arguments}
    chunks = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    (made,) = [call for delta in deltas for call in delta.tool_calls or []]
    return {"id": made.id, "name": made.function.name, "arguments": made.function.arguments}


def test_the_endpoint_serves_nothing_else():
    with ScriptedEndpoint() as endpoint:
        request = urllib.request.Request(f"{endpoint.base_url}/embeddings", data=b"{}")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request)


def test_the_trl_class_has_a_method_for_each_tool_and_no_other_public_one():
    made = environment_class()
    public = {
        name for name, _ in inspect.getmembers(made, inspect.isfunction) if not name.startswith("_")
    }
    assert public == {"reset", "get_reward", *TOOLS.tool_names}
    for spec in TOOLS.tools:
        method = getattr(made, spec.name)
        parameters = list(inspect.signature(method).parameters)[1:]
        assert set(parameters) == set(spec.parameters["properties"])
        assert all(f"    {name}: " in method.__doc__ for name in parameters)


def test_the_trl_class_plays_and_scores_only_what_was_submitted():
    environment = environment_class()()
    environment.reset(prompt=[], split="validation", index=0, level="easy", task="validation-0")
    assert "2" in json.loads(environment.list_dates())["result"]["dates"][0]
    assert environment.get_reward() == 0.0


def test_rows_hold_neither_seed_nor_label():
    rows = list_task_rows("test", first=5, count=4)
    assert [row["index"] for row in rows] == [5, 6, 7, 8]
    assert {name for row in rows for name in row} == {
        *("environment", "task", "level", "split", "index")
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian",), "Did you mean 'train'"),
        (("train", -1), "first is -1"),
        (("train", 0, 0), "count is 0"),
    ],
)
def test_rows_of_what_is_no_split_are_refused(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        list_task_rows(*arguments)


def test_the_engine_and_the_command_load_no_trainer():
    code = (
        "import sys, metric_tracker_rl.engine.session.episode_session\n"
        "import openenv_kit.rollouts.run_policy, openenv_kit.cli\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LEFT_TO = re.compile(r"check_integrations (\w+) runs it")


def trainer_names(page):
    """Return the trainer that each block of a page is left to, in order."""
    blocks = blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))
    return [found[1] for block in blocks if (found := LEFT_TO.search(block.words))]


def trainers_of(page):
    """Non-blank lines of the blocks on a page that are left to a trainer's check, by trainer."""
    blocks = blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))
    lines = {}
    for block in blocks:
        if found := LEFT_TO.search(block.words):
            lines[found[1]] = [line for line in block.text.splitlines() if line]
    return lines


def test_the_readme_trains_in_fifteen_lines_and_every_guide_is_run_by_its_check():
    readme, guides = trainers_of("README.md"), trainers_of("docs/training.md")
    assert set(readme) == {"trl"}
    assert len(readme["trl"]) <= 15
    assert set(guides) == set(INTEGRATIONS)
    for trainer, blocks in Counter(trainer_names("docs/training.md")).items():
        check = (ROOT / "tests" / "integrations" / f"check_{trainer}.py").read_text("utf-8")
        assert f'run_blocks("{trainer}", tmp_path) == {blocks}' in check
        assert trainer != "trl" or 'run_blocks("trl", tmp_path, page="README.md") == 1' in check


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("skyrll=python3", "Did you mean 'skyrl'"),
        ("skyrl", "a Python 3.11 or newer, as skyrl=PATH"),
        ("skyrl=/nowhere/python3", "'skyrl=/nowhere/python3'"),
        ("skyrl=/bin/false", "'skyrl=/bin/false'"),
    ],
)
def test_a_python_that_cannot_be_used_is_refused(monkeypatch, option, said):
    checks_are_not_run(monkeypatch)
    result = CliRunner().invoke(app, ["--python", option])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", "").split())


def test_a_python_older_than_a_trainer_takes_is_refused(monkeypatch, tmp_path):
    checks_are_not_run(monkeypatch)
    older = python_of_version(tmp_path, 3, 13, 13)
    result = CliRunner().invoke(app, ["--python", f"nemo_gym={older}"])
    assert result.exit_code == 2
    assert "3.13.14 or newer" in " ".join(result.output.replace("│", "").split())


def test_a_trainers_environment_is_made_anew_with_the_python_that_was_chosen(tmp_path):
    module = sys.modules["research.check_integrations"]
    chosen = python_of_version(tmp_path, 3, 13, 14)
    assert module._parse_python_option(f"nemo_gym={chosen}") == ("nemo_gym", chosen)
    for python, wanted in ((chosen, str(chosen)), (None, ">=3.13.14,<3.15")):
        made, *_ = module._setup_commands(INTEGRATIONS["nemo_gym"], tmp_path / "n", ROOT, python)
        assert made[made.index("--python") + 1] == wanted
        assert "--clear" in made


def checks_are_not_run(monkeypatch):
    """So that a wrong option that passes installs nothing."""
    module = sys.modules["research.check_integrations"]
    monkeypatch.setattr(module, "_check_integration", lambda *_: ("not run", ""))


def python_of_version(folder, *version):
    """A program that says of itself what a Python of that version would."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho {' '.join(map(str, version))}\n")
    program.chmod(0o755)
    return program


def test_every_integration_has_a_check():
    checks = {path.stem.removeprefix("check_") for path in ROOT.glob("tests/integrations/check_*")}
    assert checks == set(INTEGRATIONS)


def test_an_unknown_integration_is_refused_with_the_nearest():
    result = CliRunner().invoke(app, ["trll"])
    assert result.exit_code == 2
    assert "Did you mean 'trl'" in " ".join(result.output.split())


def test_a_trainers_own_environment_is_made_and_its_check_passes_there(tmp_path):
    arguments = ["skyrl", "--environments", str(tmp_path)]
    result = CliRunner().invoke(app, [*arguments, "--checkout", str(ROOT)])
    assert result.exit_code == 0, result.output
    assert "passed" in result.output


def test_a_trainer_without_its_python_is_skipped_unless_asked_for_by_name(monkeypatch, tmp_path):
    # By its name in sys.modules: the package's attribute of that name is the command.
    module = sys.modules["research.check_integrations"]
    monkeypatch.setattr(module, "_is_python_available", lambda _: False)
    monkeypatch.setattr(module, "INTEGRATIONS", {"nemo_gym": INTEGRATIONS["nemo_gym"]})
    place = ["--environments", str(tmp_path)]
    everything = CliRunner().invoke(app, [*place])
    assert (everything.exit_code, "skipped" in everything.output) == (0, True)
    by_name = CliRunner().invoke(app, ["nemo_gym", *place])
    assert (by_name.exit_code, "skipped" in by_name.output) == (1, True)
    assert list(tmp_path.iterdir()) == []
