"""What a model in an existing client sees: no more than that reaches a policy."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

FEEDBACK = 100  # characters
LOG_LINES = 4

Action = dict[str, Any]


class Seen:
    """A reply as an existing client shows it: 100 characters of feedback, four log lines."""

    def __init__(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        self._observation = observation
        self.feedback = str(info.get("action_feedback") or "")[:FEEDBACK]

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        return {
            name: {key: value for key, value in view.items() if key != "recent_logs"}
            for name, view in self._observation["services"].items()
        }

    @property
    def graph(self) -> dict[str, list[str]]:
        return dict(self._observation["dependency_graph"])

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return list(self._observation["active_alerts"])

    @property
    def tick(self) -> int:
        return int(self._observation["sim_tick"])

    @property
    def burn(self) -> float:
        return float(self._observation["current_slo_burn_rate"])

    def lines(self, service: str) -> list[str]:
        """The last log lines fetched of a service."""
        return list(self._observation["services"][service]["recent_logs"][-LOG_LINES:])

    @property
    def entries(self) -> list[str]:
        """Services that no other calls."""
        called = {callee for callees in self.graph.values() for callee in callees}
        return [name for name in self.graph if name not in called]


Script = Generator[Action, Seen, None]


def order(name: str, target: str | None = None, **parameters: Any) -> Action:
    """An action as it goes over the wire."""
    action: Action = {"action_type": name}
    if target is not None:
        action["target_service"] = target
    if parameters:
        action["parameters"] = parameters
    return action
