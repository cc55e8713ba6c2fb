"""The typed WebSocket client.

```python
async with FirewatchEnv(base_url="http://127.0.0.1:8000/firewatch") as env:
    result = await env.reset(task_id="task_easy_dns_nxdomain")
    result = await env.step(FirewatchAction(action_type="fetch_logs", target_service="api"))
    result.metadata  # what HTTP replies call `info`
```
"""

from __future__ import annotations

from firewatch_next.models import FirewatchAction, FirewatchObservation, FirewatchState
from openenv_kit.client import DEFAULT_BASE_URL, TypedClient


class FirewatchEnv(TypedClient[FirewatchAction, FirewatchObservation, FirewatchState]):
    """One session with a server of Firewatch. The arguments are those of `TypedClient`.

    The default address is the path `/firewatch`, where `server` has it. A server
    with Firewatch at its root needs `base_url="http://127.0.0.1:8000"`.
    """

    observation_type = FirewatchObservation
    state_type = FirewatchState
    default_base_url = f"{DEFAULT_BASE_URL}/firewatch"
