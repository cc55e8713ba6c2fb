"""Models of request and reply fields, such as report rows, catalogue entries and scores.

They are plain pydantic models that import neither the engine nor the framework, so clients can use
them with few dependencies. Their fields can also be read like mapping items (`row["date"]`),
because some clients do so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from metric_tracker_rl.engine.definitions.anomaly_types import ANOMALY_TYPES, ROW_GENERATOR_NAMES
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS, ENTITY_TYPES
from metric_tracker_rl.engine.definitions.names import (
    STDDEV_SHIFT,
    Disclosure,
    PolicySource,
    Profile,
)
from metric_tracker_rl.engine.definitions.severity import SEVERITIES
from metric_tracker_rl.engine.definitions.versions import GRADER_VERSION, POLICY_VERSION


def enum_schema(*names: str) -> JsonDict:
    """Return JSON-schema metadata that lists the allowed values of a string field.

    Validation accepts other values too, so a report with one invalid row can still be graded.
    """
    return {"enum": list(names)}


def _reject_bool(value: object) -> object:
    """Raise an error if a number field is a bool, which pydantic would convert to 1 or 0."""
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
    return value


NotBool = BeforeValidator(_reject_bool)


class MappingModel(BaseModel):
    """A model whose fields can also be read like those of a mapping."""

    model_config = ConfigDict(extra="forbid")

    def __getitem__(self, name: str) -> Any:
        if name in type(self).model_fields:
            return getattr(self, name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of the field with this name, or the default."""
        return getattr(self, name) if name in type(self).model_fields else default

    def keys(self) -> list[str]:
        """Return the field names."""
        return list(type(self).model_fields)


class MetricSubmissionRow(MappingModel):
    """One row of the final report. Rates are in percent, the daytime share is a fraction."""

    date: str = Field(description="YYYY-MM-DD, a date of the episode")
    entity_type: str = Field(
        description="kind of entity", json_schema_extra=enum_schema(*ENTITY_TYPES)
    )
    entity_name: str = Field(description="an entity name from list_entities")
    anomaly_type: str = Field(
        description="anomaly type of the root", json_schema_extra=enum_schema(*ANOMALY_TYPES)
    )
    detection_method: str = Field(
        description="the analysis method that shows the entity type",
        json_schema_extra=enum_schema(*DETECTION_METHODS.values()),
    )
    baseline_value: float = Field(description="baseline of the policy; 0 for data_quality")
    observed_value: float = Field(description="the value on that date")
    delta_value: float = Field(description="observed_value - baseline_value")
    severity: str = Field(description="severity band", json_schema_extra=enum_schema(*SEVERITIES))


class PayloadGeneratorMethod(MappingModel):
    """A row generator that runs on the server."""

    method_name: str = Field(
        description="row generator to run", json_schema_extra=enum_schema(*ROW_GENERATOR_NAMES)
    )
    metric_name: str | None = Field(None, description="one metric; null for all")
    metric_names: list[str] = Field(
        default_factory=list, description="several metrics; empty for all"
    )
    threshold_multiplier: Annotated[float, NotBool] = Field(
        2.0, description="rows deviate by more than this many standard deviations from the median"
    )
    dates: list[str] = Field(default_factory=list, description="only these dates; empty for all")


class SyntheticAnomalyGenerator(MappingModel):
    """A custom anomaly at reset: sets a metric to median ± factor × standard deviation."""

    method_name: str = STDDEV_SHIFT
    metric_name: str | None = None
    metric_names: list[str] = Field(default_factory=list)
    date: str | None = None
    dates: list[str] = Field(default_factory=list)
    stddev_factor: float = 3.0
    direction: Literal["up", "down", "auto"] = "auto"


class MethodSpec(MappingModel):
    """Catalogue entry of an analysis method or a generator.

    `parameters` is a JSON Schema object, in the format of OpenAI tools.
    """

    name: str
    description: str
    parameters: dict[str, Any]


class TaskSpec(MappingModel):
    """A named task: its configuration and its instruction."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    difficulty: str
    instruction: str
    objective: str
    seed: int
    scenario_family: str
    anomaly_density: str
    anomaly_count: int
    grader_name: str = f"reporting_policy_v{POLICY_VERSION}_grader_v{GRADER_VERSION}"


class ConversionMetricDefinition(MappingModel):
    """Definition of a conversion rate, computed from two daily event counts."""

    name: str
    numerator: str
    denominator: str
    description: str
    formula: str = ""


class AppliedSyntheticGenerator(MappingModel):
    """Effect of one custom anomaly on one metric on one date. Rates are in percent."""

    method_name: str
    date: str = Field(description="YYYY-MM-DD")
    metric_name: str
    metric_type: str = Field(description="event_count or conversion_rate")
    direction: str = Field(description="up or down")
    anomaly_type: str
    detection_method: str
    baseline_value: float = Field(description="median before any custom anomaly")
    pre_applied_value: float = Field(description="value on that date before this anomaly")
    std_dev_from_median: float
    stddev_factor: float
    threshold_value: float = Field(description="stddev_factor * std_dev_from_median")
    target_value: float = Field(description="value aimed at")
    actual_value: float = Field(description="value reached with whole events")
    formula: str


class MetricsRow(MappingModel):
    """Event counts of one day or one hour."""

    date: str = Field(description="YYYY-MM-DD")
    hour: int | None = Field(None, description="0 to 23; null for a whole day")
    app_opens: int
    menu_opens: int
    product_added_to_cart: int
    orders_placed: int
    payment_successful: int


class SubmissionIssue(MappingModel):
    """A problem found in a submitted report.

    `expected_row` is set by servers in debug mode only.
    """

    row_key: str = Field(description="date|entity_type|entity_name")
    issue_type: str
    message: str
    submitted_row: dict[str, Any] | None = None
    expected_row: dict[str, Any] | None = None


class SubmissionPreview(MappingModel):
    """Result of parsing a report. It does not depend on the expected rows."""

    valid_rows: int = 0
    invalid_rows: int = 0
    duplicate_rows: int = 0
    unique_keys: int = 0
    issues: list[SubmissionIssue] = Field(default_factory=list)
    normalized_rows: list[MetricSubmissionRow] = Field(default_factory=list)


class FunnelProgress(BaseModel):
    """Progress of an episode that is visible to the player."""

    step_count: int = 0
    task_id: str | None = None
    status: str = "idle"
    max_steps: int = 0
    submissions: int = 0
    max_submissions: int = 0
    profile: str = Profile.STANDARD
    disclosure: str = Disclosure.GUIDED
    policy: str = PolicySource.STANDARD


class RewardBreakdown(MappingModel):
    """Score of a report, its components in [0, 1], and the counts they are computed from."""

    precision: float = 0.0
    recall: float = 0.0
    anomaly_type_accuracy: float = 0.0
    detection_method_accuracy: float = 0.0
    value_accuracy: float = 0.0
    severity_accuracy: float = 0.0
    extra_row_penalty: float = 0.0
    duplicate_penalty: float = 0.0
    invalid_row_penalty: float = 0.0
    exploit_penalty: float = 0.0
    total_score: float = 0.0
    matched_rows: int = 0
    expected_rows: int = 0
    submitted_rows: int = 0
    valid_submitted_rows: int = 0
    extra_rows: int = 0
    duplicate_rows: int = 0
    invalid_rows: int = 0
    missing_rows: int = 0


SCORE_PENALTIES = tuple(name for name in RewardBreakdown.model_fields if name.endswith("_penalty"))
"""Names of the breakdown fields that are penalties."""
SCORE_SHARES = (
    "precision",
    "recall",
    *(name for name in RewardBreakdown.model_fields if name.endswith("_accuracy")),
)
"""Names of the breakdown fields that are shares: precision, recall and field accuracies."""
