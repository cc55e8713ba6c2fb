"""TRL's own trainer plays the environment, with a tiny transformer made on the spot.

The transformer is real: random weights, a tokenizer trained here, gradients that flow. Only
what it says is scripted: its `generate` answers with the reference policy's next tool call, as
tokens. Tool schemas, the tool loop, parsing, rewards and the update are TRL's.
"""

import inspect
import multiprocessing

import pytest
import torch
from transformers import Qwen3ForCausalLM
from transformers.utils import get_json_schema
from trl import GRPOConfig, GRPOTrainer

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies import get_policy
from openenv_kit.errors import ServerError
from openenv_kit.rollouts.curriculum import Curriculum
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.trainers.trl import (
    build_dataset,
    build_eval_datasets,
    build_reward_components,
    environment_class,
)
from openenv_kit.trainers.trl_curriculum import CurriculumCallback
from openenv_kit.trainers.trl_monitor import RolloutMonitor
from openenv_kit.variables import BASE_URL_VARIABLE
from support.integration_guides import ENVIRONMENTS, run_blocks
from support.integration_server import NO_SERVER, NOWHERE, address, episodes_served
from support.tiny_transformer import (
    MAX_TOKENS,
    build_scripted_model,
    build_tiny_config,
    build_tokenizer,
)

Environment = environment_class()
LEAN = {"profile": "lean", "reward": "key_f1"}
LEVELS = {"metric_tracker_rl": "easy", "drilldown": "drill_easy", "firewatch": "easy"}


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(ENVIRONMENTS)


def one_update(tokenizer, policy, folder, environment=None, index=0, **chosen):
    """Train one step on two rollouts of one episode; the trainer and its log."""
    made = environment_class(environment, "train", **chosen) if chosen else Environment
    logged = build_reward_components("exact", "grounded")
    trainer = GRPOTrainer(
        model=build_scripted_model(tokenizer, policy, environment),
        processing_class=tokenizer,
        train_dataset=build_dataset("train", index, 1, environment, **chosen),
        environment_factory=made,
        reward_funcs=logged,
        args=GRPOConfig(
            output_dir=str(folder),
            reward_weights=[0.0] * len(logged),
            per_device_train_batch_size=2,
            num_generations=2,
            max_completion_length=MAX_TOKENS,
            max_tool_calling_iterations=64,
            max_steps=1,
            logging_steps=1,
            learning_rate=1e-3,
            beta=0.0,
            use_cpu=True,
            bf16=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
    )
    before = {name: each.detach().clone() for name, each in trainer.model.named_parameters()}
    trainer.train()
    log = next(entry for entry in trainer.state.log_history if "reward" in entry)
    return trainer, log, before


def test_the_trainer_gets_the_reference_policys_score_through_its_own_tool_loop(
    tokenizer, tmp_path
):
    trainer, log, _ = one_update(tokenizer, "reference", tmp_path)
    assert log["reward"] == 1.0
    assert log["rewards/MetricTrackerRlEnvironment/mean"] == 1.0
    assert log["tools/failure_frequency"] == 0.0
    assert [each._episode.is_done for each in trainer.environments] == [True, True]
    assert min(each._episode.tool_call_count for each in trainer.environments) >= 3


def test_the_trainer_plays_a_lean_episode_with_six_tools(tokenizer, tmp_path):
    trainer, log, _ = one_update(tokenizer, "reference", tmp_path, reset=LEAN)
    assert log["reward"] == 1.0
    assert log["rewards/exact/mean"] == 1.0
    for environment in trainer.environments:
        assert environment._episode.tool_call_count == 3
        assert environment.info["reward_components"]["key_f1"] == 1.0


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_one_step_on_the_easiest_level_of_each_environment(environment, tokenizer, tmp_path):
    level = LEVELS[environment]
    trainer, log, _ = one_update(tokenizer, "reference", tmp_path, environment, level=level)
    assert trainer.state.global_step == 1
    assert (log["reward"], log["rewards/exact/mean"]) == (1.0, 1.0)
    grounded = [each.info["grounded"] or 0.0 for each in trainer.environments]
    assert log["rewards/grounded/mean"] == sum(grounded) / 2
    assert log["tools/failure_frequency"] == 0.0


def test_a_policy_that_reports_echoes_too_gets_its_own_lower_score(tokenizer, tmp_path):
    index, score = next(
        (index, score)
        for index in range(100)
        if 0.0 < (score := score_of("report_all", index)) < 1.0
    )
    _, log, _ = one_update(tokenizer, "report_all", tmp_path, index=index)
    assert log["reward"] == pytest.approx(score), "what is logged beside it pays nothing"
    assert log["rewards/exact/mean"] == 0.0
    assert log["rewards/grounded/mean"] > 0.0


def score_of(policy, index):
    session = EpisodeSession()
    return run_policy(session, get_policy(policy), session.reset(split="train", index=index)).score


def test_an_update_moves_the_weights_when_rollouts_differ(tokenizer, tmp_path):
    flip = iter([1.0, 0.0] * 8)
    original = Environment.get_reward
    Environment.get_reward = lambda _: next(flip)
    try:
        trainer, log, before = one_update(tokenizer, "null", tmp_path)
    finally:
        Environment.get_reward = original
    assert log["reward_std"] > 0
    moved = [
        name
        for name, each in trainer.model.named_parameters()
        if not torch.equal(each, before[name])
    ]
    assert moved, "the advantage reached the weights"


def test_the_reference_policys_score_comes_from_a_server_too(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv(BASE_URL_VARIABLE, address())
    before = episodes_served()
    _, log, _ = one_update(tokenizer, "reference", tmp_path)
    assert log["reward"] == 1.0
    assert episodes_served() == before + 2


def test_where_no_server_is_training_does_not_begin_and_says_how_to_start_one(
    tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setenv(BASE_URL_VARIABLE, NOWHERE)
    with pytest.raises(ServerError, match=NO_SERVER):
        one_update(tokenizer, "reference", tmp_path)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_readmes_example_runs_as_it_stands(environment, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("MODEL_NAME", str(saved_model(tokenizer, tmp_path / "tiny")))
    trainers, train = [], GRPOTrainer.train
    monkeypatch.setattr(GRPOTrainer, "train", lambda self: (trainers.append(self), train(self)))
    assert run_blocks("trl", tmp_path, page="README.md") == 1
    (trainer,) = trainers
    assert trainer.state.global_step == 1
    assert torch.isfinite(torch.tensor(trainer.state.log_history[-1]["train_loss"]))
    assert trainer.environments
    for environment in trainer.environments:
        assert environment.get_reward() == 0.0, "random words submit nothing"


def lean_trainer(tokenizer, folder, callback, settings=(), **given):
    """Make a trainer of lean episodes, in groups of two, that the reference plays."""
    usual = {
        "train_dataset": build_dataset("train", 0, 1, reset=LEAN, level="rung_1"),
        "environment_factory": environment_class(split="train", reset=LEAN),
        "reward_funcs": [callback] if isinstance(callback, RolloutMonitor) else None,
    }
    return GRPOTrainer(
        model=build_scripted_model(tokenizer, "reference"),
        processing_class=tokenizer,
        callbacks=[callback],
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=2,
            num_generations=2,
            max_tool_calling_iterations=16,
            logging_steps=1,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
            **{"max_completion_length": MAX_TOKENS, "save_strategy": "no", **dict(settings)},
        ),
        **{**usual, **given},
    )


def first_log(trainer):
    return next(entry for entry in trainer.state.log_history if "reward" in entry)


@pytest.mark.parametrize(
    ("length", "reward", "truncated"), [(MAX_TOKENS, 1.0, 0.0), (60, 0.0, 1.0)]
)
def test_monitor_logs_the_share_of_truncated_rollouts_and_of_equal_groups(
    tokenizer, tmp_path, caplog, length, reward, truncated
):
    monitor = RolloutMonitor()
    settings = {"max_completion_length": length, "max_steps": 1}
    trainer = lean_trainer(tokenizer, tmp_path, monitor, settings)
    trainer.train()
    log = first_log(trainer)
    assert log["reward"] == reward
    assert log["rollouts/truncated_share"] == truncated
    assert log["rollouts/truncated_share/rung_1"] == truncated
    assert log["groups/equal_reward_share"] == 1.0
    assert log["completions/clipped_ratio"] == 0.0, "TRL itself calls them complete"
    warned = [each for each in caplog.messages if "max_completion_length is" in each]
    assert len(warned) == truncated


def test_curriculum_moves_on_and_resumes_from_a_checkpoint(tokenizer, tmp_path):
    def trainer(max_steps):
        stages = [{"split": f"train_rung_{number}", **LEAN} for number in (1, 2, 3)]
        callback = CurriculumCallback(Curriculum(stages, window=2))
        settings = {"max_steps": max_steps, "save_strategy": "steps", "save_steps": 1}
        made = lean_trainer(
            tokenizer,
            tmp_path,
            callback,
            settings,
            train_dataset=callback.build_dataset(8),
            environment_factory=callback.environment_class(),
        )
        return callback, made

    callback, first = trainer(1)
    first.train()
    assert first_log(first)["rewards/MetricTrackerRlEnvironment/mean"] == 1.0
    assert callback.curriculum.stage_index == 1
    resumed, second = trainer(2)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert second.state.global_step == 2
    assert resumed.curriculum.state_dict()["groups"] == [[1, 0], [1, 0], [0, 0]]
    assert resumed.curriculum.stage_index == 2


def test_training_without_a_dataset_plays_fresh_tasks_with_their_rules(tokenizer, tmp_path):
    seen = []

    class Seen(environment_class(level="rung_1", reset=LEAN)):
        def reset(self, **row):
            seen.append(super().reset(**row))
            return seen[-1]

    trainer = lean_trainer(
        tokenizer,
        tmp_path,
        RolloutMonitor(),
        {"max_steps": 2},
        train_dataset=None,
        environment_factory=Seen,
    )
    trainer.train()
    assert first_log(trainer)["reward"] == 1.0
    assert len(set(seen)) == len(seen) == 4
    assert all(each.startswith(trainer.environments[0]._episode.system_prompt) for each in seen)


def load_in_child(things, answers):
    """Reset the environments that another process was sent; it is started anew."""
    classes = [each for each in things if isinstance(each, type)]
    answers.put([(each.__name__, each().reset()[:40]) for each in classes])


def test_everything_handed_to_the_trainer_is_sent_to_a_spawned_process():
    stages = [{"split": f"train_rung_{number}", **LEAN} for number in (1, 2)]
    callback = CurriculumCallback(Curriculum(stages))
    classes = [environment_class(name) for name in ENVIRONMENTS]
    things = [*classes, callback.environment_class(), callback, RolloutMonitor()]
    things += [*build_reward_components("exact", "grounded"), build_dataset("train", count=2)]
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=load_in_child, args=(things, answers))
    child.start()
    played = answers.get(timeout=120)
    child.join()
    assert child.exitcode == 0
    assert [name for name, _ in played] == [each.__name__ for each in things[:4]]
    assert all(said.startswith("You are") for _, said in played)


def test_eval_datasets_give_metrics_by_level(tokenizer, tmp_path):
    trainer = lean_trainer(
        tokenizer,
        tmp_path,
        RolloutMonitor(),
        {"per_device_eval_batch_size": 2},
        eval_dataset=build_eval_datasets(count=1, reset=LEAN, levels=["rung_1", "easy"]),
    )
    trainer.evaluate()
    logged = {name: value for log in trainer.state.log_history for name, value in log.items()}
    assert logged["eval_rollouts/mean_score/rung_1"] == 1.0
    assert logged["eval_rollouts/mean_score/easy"] == 1.0
    assert logged["eval_rollouts/truncated_share/rung_1"] == 0.0


def saved_model(tokenizer, folder):
    """A folder as a model's name: random weights that nothing was scripted or trained for.

    The weights lean towards the end of a turn, or the words would go on to the very limit.
    """
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(build_tiny_config(tokenizer))
    with torch.no_grad():
        model.model.embed_tokens.weight += 1.0
        model.lm_head.weight[tokenizer.eos_token_id] += 0.3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_every_tool_has_the_schema_of_the_registry():
    environment = Environment()
    public = {
        name
        for name, _ in inspect.getmembers(Environment, inspect.isfunction)
        if not name.startswith("_")
    } - {"reset", "get_reward"}
    assert public == set(ENVIRONMENT.tools.select_for_episode().tool_names)
    for spec in ENVIRONMENT.tools.select_for_episode().tools:
        made = get_json_schema(getattr(environment, spec.name))["function"]
        assert made["description"] == spec.description
        declared, given = spec.parameters, made["parameters"]
        assert given["properties"].keys() == declared["properties"].keys()
        assert set(given.get("required", [])) == set(declared.get("required", []))
        for name, field in declared["properties"].items():
            assert given["properties"][name]["description"], (spec.name, name)
            assert _names(given["properties"][name]) == _names(field), (spec.name, name)


def _names(field):
    """Names that a field, its items or its alternatives allow; rows are told in words."""
    if field.get("type") == "array":
        return field["items"].get("enum") if field["items"].get("type") == "string" else None
    if "anyOf" in field:
        return next((each["enum"] for each in field["anyOf"] if "enum" in each), None)
    return field.get("enum")


def test_the_constructor_takes_nothing_and_reset_takes_a_dataset_row():
    row = build_dataset("validation", count=3)[2]
    environment = Environment()
    assert environment.reset(**row).startswith("Find every anomaly")
    assert environment.get_reward() == 0.0
    with pytest.raises(ValueError, match="Did you mean 'easy'"):
        environment.reset(difficulty="eazy")


def test_the_dataset_holds_a_chat_and_the_resets_arguments():
    rows = build_dataset("train", first=2, count=5)
    assert len(rows) == 5
    system, user = rows[0]["prompt"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert system["content"] == ENVIRONMENT.build_system_prompt()
    assert {"task", "level", "split", "index"} <= set(rows.column_names)
    assert "seed" not in rows.column_names


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_guide_runs_as_far_as_it_goes_without_a_model(
    environment, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("ENVIRONMENT", environment)
    assert run_blocks("trl", tmp_path) == 2
    printed = capsys.readouterr().out.splitlines()
    assert (printed[0], printed[-1]) == ("150", "1.0")
