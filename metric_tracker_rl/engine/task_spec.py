"""The shape of a named task, free of the engine."""

from __future__ import annotations

from pydantic import ConfigDict

from metric_tracker_rl.engine.versions import GRADER_VERSION, POLICY_VERSION
from metric_tracker_rl.rows import Record

GRADER_NAME = f"reporting_policy_v{POLICY_VERSION}_grader_v{GRADER_VERSION}"


class TaskSpec(Record):
    """One named task: its configuration, and what the agent is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_id: str
    difficulty: str
    instruction: str
    objective: str
    seed: int
    scenario_family: str
    anomaly_density: str
    anomaly_count: int
    grader_name: str = GRADER_NAME
