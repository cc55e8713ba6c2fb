"""The typed WebSocket client.

```python
async with MetricTrackerRlEnv(base_url="http://127.0.0.1:8000") as env:
    result = await env.reset(task_id="easy_single_spike")
    result = await env.step(MetricTrackerRlAction(analysis_method="list_dates"))
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient

from metric_tracker_rl.models import (
    MetricTrackerRlAction,
    MetricTrackerRlObservation,
    MetricTrackerRlState,
)

DEFAULT_BASE_URL = "http://127.0.0.1:8000"


class MetricTrackerRlEnv(
    EnvClient[MetricTrackerRlAction, MetricTrackerRlObservation, MetricTrackerRlState]
):
    """One session with a Metric Tracker RL server.

    Args:
        base_url: http(s) or ws(s) address of the server; may be left out with a provider.
        connect_timeout_s: longest wait for the connection, in seconds.
        message_timeout_s: longest wait for one reply, in seconds.
        provider: starts and stops a container or process to talk to.
        options: anything else the framework's client takes, such as `headers` or `mode`.

    The client sends no keepalive pings unless `websocket_ping_interval_s` asks for them: an
    agent thinks for minutes between two steps, and a ping that goes unanswered while its
    event loop is busy would close a healthy socket.
    """

    def __init__(
        self,
        base_url: str | None = None,
        connect_timeout_s: float = 10.0,
        message_timeout_s: float = 60.0,
        provider: Any = None,
        **options: Any,
    ) -> None:
        options.setdefault("websocket_ping_interval_s", None)
        options.setdefault("websocket_ping_timeout_s", None)
        if base_url is None and provider is None:
            base_url = DEFAULT_BASE_URL
        super().__init__(
            base_url=base_url,
            connect_timeout_s=connect_timeout_s,
            message_timeout_s=message_timeout_s,
            provider=provider,
            **options,
        )

    def _step_payload(self, action: MetricTrackerRlAction | Mapping[str, Any]) -> dict[str, Any]:
        """Payload of an action; a mapping travels as it is, so that the server judges it."""
        if isinstance(action, Mapping):
            return dict(action)
        return action.model_dump(exclude_defaults=True)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[MetricTrackerRlObservation]:
        reward, done = payload.get("reward"), bool(payload.get("done", False))
        fields = {**payload.get("observation", {}), "reward": reward, "done": done}
        observation = MetricTrackerRlObservation.model_validate(fields)
        return StepResult(
            observation=observation, reward=reward, done=done, metadata=payload.get("metadata")
        )

    def _parse_state(self, payload: dict[str, Any]) -> MetricTrackerRlState:
        return MetricTrackerRlState.model_validate(payload)
