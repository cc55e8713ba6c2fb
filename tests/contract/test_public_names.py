"""The public names are complete, and whoever wants a part of the package loads that part."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import metric_tracker_rl
from openenv_kit.errors import KitError
from support.paths import ROOT

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
FRAMEWORKS = {"openenv", "gradio", "fastapi", "openai", "uvicorn", "plotly"}


def loaded_by(code: str) -> set[str]:
    """Names of all modules that are loaded after running code in a fresh process."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(run.stdout))


def top_level(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


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


def test_importing_the_package_loads_nothing_else() -> None:
    modules = loaded_by("import metric_tracker_rl")
    assert {name for name in modules if name.startswith("metric_tracker_rl.")} == set()
    assert not top_level(modules) & {*FRAMEWORKS, "pandas", "numpy", "pydantic"}


WITHOUT_FRAMEWORK = (
    "import metric_tracker_rl.policies, openenv_kit.rollouts.run_policy",
    "import metric_tracker_rl.engine.certification.certificate, openenv_kit.recordings.format",
    "from metric_tracker_rl import TASKS, get_task_spec, available_analysis_methods",
    "from metric_tracker_rl.engine.session.episode_session import EpisodeSession\n"
    "EpisodeSession().reset()",
    "import openenv_kit.cli",
    "import openenv_kit.agent.main",
)


@pytest.mark.slow
def test_the_engine_loads_no_framework() -> None:
    """All of it in one process: what any of them loads is loaded at the end."""
    assert not top_level(loaded_by("\n".join(WITHOUT_FRAMEWORK))) & FRAMEWORKS


@pytest.mark.slow
def test_the_check_of_what_is_loaded_notices_a_framework() -> None:
    assert "uvicorn" in top_level(
        loaded_by("import metric_tracker_rl.engine.session.episode_session, uvicorn")
    )


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
