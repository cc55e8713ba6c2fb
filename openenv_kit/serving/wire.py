"""The action as it may arrive: anything at all, so that errors can teach.

The framework answers an action that does not validate with a bare "Invalid message". Here
such an action becomes one that carries its own explanation, and the step answers it with an
ordinary error observation; the session goes on and nothing is graded.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, PrivateAttr, ValidationError

from metric_tracker_rl.models import MetricTrackerRlAction
from openenv_kit.tools.schema import describe_problems


class WireAction(MetricTrackerRlAction):
    """The public action with lenient rows: a bad row is graded as invalid, not refused.

    Its published schema is the public action's.
    """

    classifications: list[Any] = Field(default_factory=list)
    payload_generators: list[Any] = Field(default_factory=list)
    _problem: str | None = PrivateAttr(None)

    @property
    def problem(self) -> str | None:
        """What is wrong with the action as a whole, or None."""
        return self._problem

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> WireAction:
        """Read anything; what does not fit becomes the action's `problem`."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            action = cls()
            action._problem = describe_problems("action", MetricTrackerRlAction, error)
            return action

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Schema of the public action."""
        return MetricTrackerRlAction.model_json_schema(*args, **options)
