"""Action, observation and state types, which extend the framework's base types."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field

from metric_tracker_rl.engine.definitions.names import Disclosure, PolicySource, Profile
from metric_tracker_rl.wire_models import (
    AppliedSyntheticGenerator,
    ConversionMetricDefinition,
    MethodSpec,
    MetricsRow,
    MetricSubmissionRow,
    PayloadGeneratorMethod,
    RewardBreakdown,
    SubmissionIssue,
    SubmissionPreview,
    SyntheticAnomalyGenerator,
    TaskSpec,
)

__all__ = [
    "AppliedSyntheticGenerator",
    "ConversionMetricDefinition",
    "MethodSpec",
    "MetricSubmissionRow",
    "MetricTrackerRlAction",
    "MetricTrackerRlObservation",
    "MetricTrackerRlState",
    "MetricsRow",
    "PayloadGeneratorMethod",
    "RewardBreakdown",
    "SubmissionIssue",
    "SubmissionPreview",
    "SyntheticAnomalyGenerator",
    "TaskSpec",
]


class MetricTrackerRlAction(Action):
    """Action of one step: run one analysis method, or submit the report.

    An empty action submits an empty report. An action that combines several of these is rejected
    and not graded.
    """

    classifications: list[MetricSubmissionRow] = Field(
        default_factory=list, description="the final report"
    )
    analysis_method: str | None = Field(
        None, description="run this analysis method instead of submitting"
    )
    analysis_args: dict[str, Any] = Field(default_factory=dict, description="its arguments")
    payload_generators: list[PayloadGeneratorMethod] = Field(
        default_factory=list,
        description="submit the rows of these generators, for dates that a method has shown",
    )


class MetricTrackerRlObservation(Observation):
    """Observation in the reply to a reset or a step.

    Only the reset observation contains the catalogues; a step's reply contains what changed.
    """

    task_id: str = ""
    status: str = Field(
        "ready", description="ready, analyzed, in_progress, evaluated, completed or error"
    )
    message: str = ""
    instruction: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    conversion_metric_definitions: list[ConversionMetricDefinition] = Field(default_factory=list)
    available_methods: list[MethodSpec] = Field(default_factory=list)
    available_synthetic_generator_methods: list[MethodSpec] = Field(default_factory=list)
    applied_synthetic_generators: list[AppliedSyntheticGenerator] = Field(default_factory=list)
    available_tasks: list[TaskSpec] = Field(default_factory=list)
    analysis_result: dict[str, Any] | None = Field(
        None, description="method, arguments and result of an analysis step"
    )
    generated_rows: list[MetricSubmissionRow] = Field(default_factory=list)
    submitted_rows: list[MetricSubmissionRow] = Field(default_factory=list)
    submission_preview: SubmissionPreview | None = None
    submission_issues: list[SubmissionIssue] = Field(default_factory=list)
    reward_breakdown: RewardBreakdown | None = None
    expected_row_count: int | None = Field(None, description="null while it is hidden")
    correct_row_count: int = 0
    daily_metrics: list[MetricsRow] = Field(
        default_factory=list, description="empty in standard play"
    )
    hourly_metrics: list[MetricsRow] = Field(
        default_factory=list, description="empty in standard play"
    )
    debug: dict[str, Any] | None = Field(None, description="null in standard play")


class MetricTrackerRlState(State):
    """Public progress of an episode. Labels, seed and intermediate scores are not included."""

    task_id: str | None = None
    status: str = Field("idle", description="idle, running or completed")
    max_steps: int = 0
    submissions: int = 0
    max_submissions: int = 0
    profile: str = Field(
        Profile.STANDARD, description="which tools the episode offers: standard or lean"
    )
    disclosure: str = Field(
        Disclosure.GUIDED, description="what they show: guided, or raw for values only"
    )
    policy: str = Field(
        PolicySource.STANDARD, description="reporting policy: standard, or varied for one drawn"
    )
