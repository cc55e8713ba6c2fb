"""A client program written from the public contract alone still works.

It treats nested values as pydantic models, as programs written against the contract do: every
field of every reply is read as an attribute and by `.model_dump()`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from openenv.core.containers.runtime.providers import LocalDockerProvider
from pydantic import BaseModel

from metric_tracker_rl import (
    DEFAULT_TASK_ORDER,
    TASKS,
    MetricTrackerRlAction,
    MetricTrackerRlEnv,
    get_task_spec,
)
from metric_tracker_rl.analysis_tools import available_analysis_methods
from metric_tracker_rl.models import (
    MetricSubmissionRow,
    MetricTrackerRlObservation,
    PayloadGeneratorMethod,
)
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

ROW = """
    date entity_type entity_name anomaly_type detection_method baseline_value observed_value
    delta_value severity
"""
ISSUE = "row_key issue_type message submitted_row expected_row"
METHOD = "name description parameters"
BREAKDOWN = """
    precision recall anomaly_type_accuracy detection_method_accuracy value_accuracy
    severity_accuracy extra_row_penalty duplicate_penalty invalid_row_penalty exploit_penalty
    total_score matched_rows expected_rows submitted_rows valid_submitted_rows extra_rows
    duplicate_rows invalid_rows missing_rows
"""
TASK = """
    task_id difficulty instruction objective seed scenario_family anomaly_density anomaly_count
    grader_name
"""
APPLIED = """
    method_name date metric_name metric_type direction anomaly_type detection_method
    baseline_value pre_applied_value std_dev_from_median stddev_factor threshold_value
    target_value actual_value formula
"""
COUNTS = """
    date hour app_opens menu_opens product_added_to_cart orders_placed payment_successful
"""
LISTS = {
    "generated_rows": ROW,
    "submitted_rows": ROW,
    "submission_issues": ISSUE,
    "available_methods": METHOD,
    "available_synthetic_generator_methods": METHOD,
    "available_tasks": TASK,
    "conversion_metric_definitions": "name numerator denominator description",
    "applied_synthetic_generators": APPLIED,
    "daily_metrics": COUNTS,
    "hourly_metrics": COUNTS,
}
"""The contract's fields of an observation that are lists of models, with the models' fields."""

GENERATORS = [
    {"method_name": "median_filter", "threshold_multiplier": 2.0},
    {"method_name": "funnel_break", "metric_name": None, "threshold_multiplier": 2.0},
]
CUSTOM = {"metric_name": "app_opens", "stddev_factor": 9.0, "direction": "up"}


def read_model(model: Any, fields: str) -> None:
    """Read a nested value as attributes and by `.model_dump()`, which have to agree."""
    assert isinstance(model, BaseModel)
    dumped = model.model_dump()
    assert set(fields.split()) <= set(dumped)
    for name in fields.split():
        value = getattr(model, name)
        assert dumped[name] == (value.model_dump() if isinstance(value, BaseModel) else value)
    json.dumps(dumped)


def read_everything(observation: MetricTrackerRlObservation) -> dict[str, int]:
    """Read every field that the contract names; how many entries each list holds."""
    whole = observation.model_dump(exclude={"debug"})
    assert json.loads(json.dumps(whole)) == whole
    for name, fields in LISTS.items():
        entries = getattr(observation, name)
        for entry in entries:
            read_model(entry, fields)
        assert [entry.model_dump() for entry in entries] == whole[name]
    if observation.reward_breakdown is not None:
        read_model(observation.reward_breakdown, BREAKDOWN)
    seen = observation.submission_preview
    if seen is not None:
        for row in seen.normalized_rows:
            assert isinstance(row, MetricSubmissionRow)
            read_model(row, ROW)
        for issue in seen.issues:
            read_model(issue, ISSUE)
        assert seen.model_dump() == whole["submission_preview"]
    if observation.analysis_result is not None:
        assert set(observation.analysis_result) == {"method", "arguments", "result"}
    assert (observation.daily_metrics, observation.hourly_metrics) == ([], [])
    assert observation.debug is None
    assert observation.message
    return {name: len(getattr(observation, name)) for name in LISTS}


class OverTheWire:
    """The client of the contract's Python surface."""

    def __init__(self, env: MetricTrackerRlEnv) -> None:
        self.env = env

    async def reset(self, **arguments: Any) -> MetricTrackerRlObservation:
        return self._read(await self.env.reset(**arguments))

    async def step(self, action: MetricTrackerRlAction) -> MetricTrackerRlObservation:
        return self._read(await self.env.step(action))

    def _read(self, result: Any) -> MetricTrackerRlObservation:
        observation: MetricTrackerRlObservation = result.observation
        assert (result.reward, result.done) == (observation.reward, observation.done)
        return observation


class InProcess:
    """The environment itself, stepped without a server."""

    def __init__(self) -> None:
        self.env = OpenEnvAdapter()

    async def reset(self, **arguments: Any) -> MetricTrackerRlObservation:
        return self.env.reset(**arguments)

    async def step(self, action: MetricTrackerRlAction) -> MetricTrackerRlObservation:
        return self.env.step(action)


@pytest.fixture(params=["wire", "in process"])
async def played(request: pytest.FixtureRequest) -> Any:
    if request.param == "in process":
        yield InProcess()
        return
    url = request.getfixturevalue("server_url")
    env = await MetricTrackerRlEnv(base_url=url, connect_timeout_s=30).connect()
    try:
        yield OverTheWire(env)
    finally:
        await env.close()


def generators(given: list[dict[str, Any]]) -> MetricTrackerRlAction:
    return MetricTrackerRlAction(
        payload_generators=[PayloadGeneratorMethod(**item) for item in given]
    )


@pytest.mark.parametrize("task_id", list(TASKS))
async def test_a_task_is_played_and_every_field_is_read(played: Any, task_id: str) -> None:
    opening = await played.reset(task_id=task_id)
    read = read_everything(opening)
    assert opening.status == "ready"
    catalogues = (
        *("available_methods", "available_synthetic_generator_methods", "available_tasks"),
        "conversion_metric_definitions",
    )
    assert all(read[name] for name in catalogues)
    spec = get_task_spec(task_id)
    assert spec.model_dump() in [each.model_dump() for each in opening.available_tasks]

    for method in available_analysis_methods():
        if method.parameters.get("required"):
            continue
        found = await played.step(MetricTrackerRlAction(analysis_method=method.name))
        read_everything(found)
        assert found.status in ("analyzed", "error"), method.name

    ended = await played.step(generators(GENERATORS))
    read = read_everything(ended)
    assert (ended.status, ended.done) == ("evaluated", True)
    assert read["generated_rows"] == read["submitted_rows"] > 0
    assert ended.submission_preview is not None
    assert ended.submission_preview.normalized_rows == ended.submitted_rows
    assert len(ended.submission_issues) > 0
    assert ended.correct_row_count <= ended.expected_row_count == spec.anomaly_count
    assert ended.reward_breakdown is not None
    assert ended.reward == ended.reward_breakdown.total_score

    over = await played.step(generators(GENERATORS))
    read_everything(over)
    assert (over.status, over.done) == ("completed", True)


async def test_the_generated_rows_of_one_play_are_the_report_of_the_next(played: Any) -> None:
    await played.reset(task_id=DEFAULT_TASK_ORDER[0])
    # Rows of dates that nobody looked at are invalid; this shows the dates of all of them.
    looked = MetricTrackerRlAction(
        analysis_method="payload_generator", analysis_args={"generator_methods": GENERATORS}
    )
    await played.step(looked)
    first = await played.step(generators(GENERATORS))
    rows = [row.model_dump() for row in first.generated_rows]
    await played.reset(task_id=DEFAULT_TASK_ORDER[0])
    report = [MetricSubmissionRow(**row) for row in rows]
    second = await played.step(MetricTrackerRlAction(classifications=report))
    assert second.submitted_rows == report
    assert second.reward_breakdown == first.reward_breakdown


async def test_practice_and_errors_are_read_alike(played: Any) -> None:
    await played.reset(task_id="medium_mixed_pair", max_submissions=2)
    practice = await played.step(generators(GENERATORS))
    read = read_everything(practice)
    assert practice.status == "in_progress"
    assert read["generated_rows"] > 0
    wrong = await played.step(MetricTrackerRlAction(analysis_method="rows_for_dat"))
    read_everything(wrong)
    assert wrong.status == "error"
    refused = await played.reset(task_id="no_such_task")
    read_everything(refused)
    assert refused.status == "error"


async def test_custom_anomalies_are_read_as_models(played: Any) -> None:
    date = (await played.reset(task_id="easy_single_spike")).config["start_date"]
    opening = await played.reset(anomalies=[{**CUSTOM, "date": date}])
    assert read_everything(opening)["applied_synthetic_generators"] == 1
    (applied,) = opening.applied_synthetic_generators
    assert (applied.date, applied.metric_name, applied.direction) == (date, "app_opens", "up")
    assert applied.actual_value == applied.target_value > applied.baseline_value
    read_everything(await played.step(MetricTrackerRlAction()))


def test_the_provider_of_containers_is_where_clients_import_it_from() -> None:
    assert LocalDockerProvider.__name__ == "LocalDockerProvider"


@pytest.mark.slow
def test_the_client_needs_no_more_of_the_package_than_what_travels() -> None:
    code = (
        "import sys\n"
        "from metric_tracker_rl import MetricTrackerRlAction, MetricTrackerRlEnv, TaskSpec\n"
        "print(*sorted(name for name in sys.modules if name.startswith('metric_tracker_rl.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = (
        "client engine engine.definitions engine.definitions.anomaly_types "
        "engine.definitions.entity_types engine.definitions.names engine.definitions.report_row "
        "engine.definitions.severity engine.definitions.versions models wire_models"
    )
    assert done.stdout.split() == [f"metric_tracker_rl.{name}" for name in needed.split()]
