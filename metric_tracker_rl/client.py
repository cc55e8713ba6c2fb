"""Typed WebSocket client of Metric Tracker RL.

```python
async with MetricTrackerRlEnv(base_url="http://127.0.0.1:8000") as env:
    result = await env.reset(task_id="easy_single_spike")
    result = await env.step(MetricTrackerRlAction(analysis_method="list_dates"))
```
"""

from __future__ import annotations

from metric_tracker_rl.models import (
    MetricTrackerRlAction,
    MetricTrackerRlObservation,
    MetricTrackerRlState,
)
from openenv_kit.client import TypedClient


class MetricTrackerRlEnv(
    TypedClient[MetricTrackerRlAction, MetricTrackerRlObservation, MetricTrackerRlState]
):
    """WebSocket client for one session. See `TypedClient` for the arguments."""

    observation_type = MetricTrackerRlObservation
    state_type = MetricTrackerRlState
