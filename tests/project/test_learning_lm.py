"""`python -m research.learning_lm`: data, results and a small run."""

import json
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import pytest
from PIL import Image
from typer.testing import CliRunner

from openenv_kit.cli import common
from openenv_kit.errors import InvalidValueError
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.learning_lm import experiment
from research.learning_lm.__main__ import NEEDED, app
from research.learning_lm.chart import draw_chart
from research.learning_lm.results import gains, summaries, verdicts
from research.learning_lm.settings import GRPO, SHUFFLED, SUPERVISED, Exam, Lessons, Stage
from research.learning_lm.traces import noisy_traces, read_traces, rows_of

MISSING = [package for package in NEEDED if find_spec(package) is None]
WITH_TORCH = pytest.mark.skipif(
    bool(MISSING), reason=f"the extra learn-lm is not installed: {', '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def rows():
    return rows_of("validation", "easy")[:4]


@pytest.fixture(scope="module")
def traces(rows):
    return list(noisy_traces(rows, 0.0, seed=0))


def test_tasks_of_a_level_are_lean_and_of_that_level_alone(rows):
    assert {(row["level"], row["profile"], row["reward"]) for row in rows} == {
        ("easy", "lean", "key_f1")
    }
    assert len({row["index"] for row in rows}) == 4


def test_trace_replays_to_the_same_end(rows, traces):
    for row, trace in zip(rows, traces, strict=True):
        episode = ToolEpisode()
        assert trace["messages"][1]["content"] == episode.reset(row)
        for message in trace["messages"]:
            for call in message.get("tool_calls", ()):
                episode.call_tool(call["function"]["name"], call["function"]["arguments"])
        assert episode.reward == 1.0
        turns = [each["tool_calls"] for each in trace["messages"] if each.get("tool_calls")]
        assert [[call["function"]["name"] for call in calls] for calls in turns] == [
            ["scan", "calendar"],
            ["submit"],
        ]


def test_a_noisier_player_earns_less(rows):
    def earned(share):
        ends = [trace["messages"][-2]["content"] for trace in noisy_traces(rows, share, seed=0)]
        return sum(json.loads(end)["reward_breakdown"]["total_score"] for end in ends)

    assert earned(0.0) == 4.0
    assert earned(1.0) < 4.0


def test_a_file_without_traces_is_refused(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InvalidValueError, match="at least one trace"):
        read_traces(tmp_path / "empty.jsonl", 5)


def exam(*scores, steps=0):
    return Exam(steps, {f"task-{n}": list(each) for n, each in enumerate(scores)}, tokens=40.0)


def stage(player, seed, *scores, **more):
    return Stage(player, seed, sampled=exam(*scores), greedy=exam(*scores), **more)


def log(equal):
    return {"steps": 1, "frac_reward_zero_std": equal}


BEFORE = [stage(SUPERVISED, seed, (0.5, 0.7), (1.0, 0.6)) for seed in (0, 1)]
BETTER = [
    stage(GRPO, seed, (1.0, 1.0), (1.0, 0.8), practice=[log(0.4), log(0.8)]) for seed in (0, 1)
]
CONTROL = [stage(SHUFFLED, seed, (0.5, 0.6), (1.0, 0.7)) for seed in (0, 1)]


def test_results_are_means_over_seeds_and_gains_are_taken_task_by_task():
    supervised, grpo, _ = summaries([*BEFORE, *BETTER, *CONTROL])
    assert (supervised.score, supervised.exact) == (pytest.approx(0.7), 0.25)
    assert (grpo.exact, grpo.equal, supervised.equal) == (0.75, (0.4, 0.8), None)
    assert grpo.by_seed == [pytest.approx(0.95)] * 2
    gain, control = gains([*BEFORE, *BETTER, *CONTROL])
    assert (gain.score, control.score) == (pytest.approx(0.25), pytest.approx(0.0))
    assert gain.between == (pytest.approx(0.1), pytest.approx(0.4))


def test_only_seeds_that_have_both_players_are_compared():
    lucky = stage(SUPERVISED, 2, (1.0, 1.0), (1.0, 1.0))
    half = replace(BETTER[0], seed=2, greedy=None)
    (gain,) = gains([*BEFORE, lucky, *BETTER, half])
    assert gain.score == pytest.approx(0.25)


def test_verdicts_name_each_claim_that_the_runs_do_not_support():
    assert verdicts([*BEFORE, *BETTER, *CONTROL]) == []
    weak = [replace(each, player=GRPO) for each in CONTROL]
    strong = [replace(each, player=SHUFFLED) for each in BETTER]
    little, chance = verdicts([*BEFORE, *weak, *strong])
    assert "less than 0.10" in little
    assert "no chance" in chance
    assert verdicts(BEFORE) == [f"No player of {arm} has finished." for arm in (GRPO, SHUFFLED)]


@pytest.mark.slow
def test_the_chart_draws_both_arms_and_where_they_began(tmp_path):
    curves = [
        replace(each, curve=[exam((0.7,)), exam((0.9,), steps=50)]) for each in (*BETTER, *CONTROL)
    ]
    draw_chart(tmp_path / "curve.png", [*BEFORE, *curves], "Title")
    with Image.open(tmp_path / "curve.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(37, 99, 235), (220, 38, 38)} <= colours


def output_of(result):
    return " ".join(result.output.replace("│", " ").split())


def test_the_command_names_all_that_is_missing_and_the_group(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "find_spec", lambda package: None if package != "torch" else True)
    result = CliRunner().invoke(app, [str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "not installed: transformers, trl, matplotlib;" in output_of(result)
    assert "uv sync --group learn-lm" in output_of(result)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_not_continued_with_other_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "find_spec", lambda _: True)
    monkeypatch.setattr(experiment, "run_plan", lambda *_: iter([[]]))

    def run(*more):
        return CliRunner().invoke(app, [str(tmp_path), *more])

    assert run("--seeds", "1").exit_code == run("--seeds", "2").exit_code == 1
    refused = run("--lessons", "7")
    assert refused.exit_code == 2
    assert f"lessons.steps is 7; allowed: {Lessons.steps}, as" in output_of(refused)


def pairs(tokeniser, tokens):
    texts = [tokeniser.decode([token]) for token in tokens]
    return [list(each) for each in pairwise(texts)]


@WITH_TORCH
@pytest.mark.slow
def test_traces_contain_no_unknown_and_no_useless_tokens(traces):
    from research.learning_lm.supervised import examples_of
    from research.learning_lm.tokeniser import make_tokeniser

    seen = noisy_traces(rows_of("validation", "easy")[:60], 0.5, seed=0)
    tokeniser = make_tokeniser(list(seen))
    for trace, example in zip(traces, examples_of(tokeniser, traces), strict=True):
        assert tokeniser.unk_token_id not in example.tokens
        scan = json.loads(trace["messages"][3]["content"])["result"]["rows"]
        candidates = [each for _, listed in scan for each in listed]
        ids = trace["messages"][-3]["tool_calls"][0]["function"]["arguments"]["ids"]
        assert len(example.tokens) <= 40 + len(scan) + 3 * len(candidates) + 2 * len(ids)
        for number, name, change in candidates:
            said = f"{name}{'-' if change < 0 else '+'}"
            assert [said, str(number)] in pairs(tokeniser, example.tokens)
        own = [t for t, said in zip(example.tokens, example.said, strict=True) if said]
        call = json.dumps({"name": "submit", "arguments": {"ids": ids}}, separators=(",", ":"))
        assert call in tokeniser.decode(own)


@WITH_TORCH
@pytest.mark.slow
def test_a_tiny_run_makes_every_player_and_the_same_command_makes_none_again(tmp_path):
    command = [
        *(str(tmp_path), "--seeds", "1", "--workers", "1", "--held-out", "4"),
        *("--count", "40", "--lessons", "12", "--steps", "2", "--batch", "8"),
        *("--width", "32", "--layers", "2"),
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1, result.output  # so little practice adds nothing
    assert "GRPO added" in result.output
    figures = json.loads((tmp_path / "learn-lm.json").read_text())
    assert [each["player"] for each in figures["players"]] == [
        *("untrained", "supervised", "grpo", "shuffled")
    ]
    (curve,) = (each["points"] for each in figures["curves"] if each["player"] == "grpo")
    assert [point["steps"] for point in curve] == [0, 2]
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*/model.safetensors")}
    assert len(files) == 3
    assert CliRunner().invoke(app, command).exit_code == 1
    assert {path: path.stat().st_mtime_ns for path in files} == files
