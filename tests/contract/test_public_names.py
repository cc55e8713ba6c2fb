"""The public names are complete, and each part of the package can be imported alone."""

from __future__ import annotations

import pytest

import metric_tracker_rl
from openenv_kit.errors import KitError

CONTRACT = {
    "MetricTrackerRlEnv",
    "MetricTrackerRlAction",
    "MetricTrackerRlObservation",
    "MetricSubmissionRow",
    "TaskSpec",
    "TASKS",
    "DEFAULT_TASK_ID",
    "DEFAULT_TASK_ORDER",
    "get_task_spec",
    "available_task_specs",
    "available_analysis_methods",
    "available_payload_generation_methods",
    "available_synthetic_generator_methods",
}


def test_all_is_the_contract_and_more_and_sorted() -> None:
    names = metric_tracker_rl.__all__
    assert set(names) >= CONTRACT
    assert len(names) == len(set(names))
    # As ruff sorts: constants, then classes, then functions.
    constants = sorted(name for name in names if name.isupper())
    classes = sorted(name for name in names if name[0].isupper() and not name.isupper())
    assert names == [*constants, *classes, *sorted(name for name in names if name.islower())]


@pytest.mark.parametrize("name", metric_tracker_rl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(metric_tracker_rl, name) is not None
    assert name in dir(metric_tracker_rl)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'get_task'"):
        _ = metric_tracker_rl.get_task  # type: ignore[attr-defined]


def test_models_hold_the_contracts_names() -> None:
    from metric_tracker_rl import models

    for name in (
        *("MetricSubmissionRow", "PayloadGeneratorMethod", "SyntheticAnomalyGenerator"),
        *("MetricTrackerRlObservation", "MetricTrackerRlAction"),
    ):
        assert name in models.__all__
        assert getattr(models, name).__name__ == name


# Tasks.


def test_the_default_tasks_are_exactly_the_named_three() -> None:
    tasks = metric_tracker_rl.TASKS
    assert list(metric_tracker_rl.DEFAULT_TASK_ORDER) == [
        "easy_single_spike",
        "medium_mixed_pair",
        "hard_mixed_multi",
    ]
    assert metric_tracker_rl.DEFAULT_TASK_ID == "easy_single_spike"
    settings = [
        (t.difficulty, t.seed, t.scenario_family, t.anomaly_density, t.anomaly_count)
        for t in (tasks[name] for name in metric_tracker_rl.DEFAULT_TASK_ORDER)
    ]
    assert settings == [
        ("easy", 11, "rate_spike_from_median", "low", 2),
        ("medium", 23, "mixed", "medium", 3),
        ("hard", 37, "mixed", "high", 4),
    ]
    assert {t.task_id for t in metric_tracker_rl.available_task_specs()} == set(tasks)


def test_a_task_spec_has_the_contracts_fields_and_cannot_be_changed() -> None:
    spec = metric_tracker_rl.get_task_spec("medium_mixed_pair")
    assert set(spec.keys()) >= {
        *("task_id", "difficulty", "instruction", "objective", "seed", "scenario_family"),
        *("anomaly_density", "anomaly_count", "grader_name"),
    }
    assert spec["seed"] == spec.seed == 23
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 1


def test_an_unknown_task_is_a_value_error_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'hard_mixed_multi'") as caught:
        metric_tracker_rl.get_task_spec("hard_mixed")
    assert isinstance(caught.value, KitError)
