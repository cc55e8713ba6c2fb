"""What a model in an existing client is told: no more than that reaches a policy."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

FEEDBACK = 100  # characters
LOG_LINES = 4

Action = dict[str, Any]


@dataclass(slots=True)
class Notes:
    """What an engineer writes down while playing.

    Attributes:
        replies: by tick.
        shares: of the requests that zone b gets, by service and tick.
        diffs: what recent changes set, by service; until one of them is undone.
        changed: tick of the last change; before the first, long ago.
        change: the last one, and to which service.
        ahead: whether the engineer looks at what will be needed before it is needed.
    """

    replies: dict[int, Seen] = field(default_factory=dict)
    shares: dict[str, dict[int, float]] = field(default_factory=dict)
    diffs: dict[str, str] = field(default_factory=dict)
    changed: int = -99
    change: tuple[str, str] = ("", "")
    ahead: bool = True


class Seen:
    """A reply as an existing client shows it: 100 characters of feedback, 4 log lines, meters."""

    def __init__(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        self._observation = observation
        self.notes = Notes()
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

    def errors(self, service: str) -> float:
        """Share of a service's requests that ended in 5xx, over the last two ticks."""
        return float(self._observation["services"][service]["http_server_error_rate"])

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
