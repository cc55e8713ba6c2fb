"""Parser of the action that a player sends with a step.

The input can be any object. If it cannot be parsed, the session returns an error reply that states
what is allowed. An invalid report row does not make the action invalid; the grader counts such rows
as invalid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openenv_kit.errors import ToolArgumentError, truncated_repr
from openenv_kit.schema import build_arguments_schema, describe_validation_error

NO_ARGUMENTS: Mapping[str, Any] = MappingProxyType({})


class ParsedAction(NamedTuple):
    """The fields of an action after parsing.

    An action may use only one of `analysis_method`, `classifications` and `payload_generators`.
    """

    analysis_method: str | None = None
    analysis_args: Mapping[str, Any] = NO_ARGUMENTS
    classifications: Sequence[Any] = ()
    payload_generators: Sequence[Any] = ()


class ActionFields(BaseModel):
    """Fields of an action. Report rows and generators are validated later."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, Any] = Field(default_factory=dict)
    classifications: list[Any] = Field(default_factory=list)
    analysis_method: str | None = None
    analysis_args: dict[str, Any] = Field(default_factory=dict)
    payload_generators: list[Any] = Field(default_factory=list)


def parse_action(action: object) -> ParsedAction:
    """Parse the action of a step and return its fields.

    Args:
        action: the received action, which is rejected if it is not a mapping.

    Raises:
        ToolArgumentError: the action is not valid. The message contains the field and the allowed
            values.
    """
    if not isinstance(action, Mapping):
        raise ToolArgumentError(f"action is {truncated_repr(action)}; allowed: an object.")
    # As in a reset, null means that an optional field was omitted.
    given_fields = {
        name: value
        for name, value in action.items()
        if value is not None or name not in ActionFields.model_fields
    }
    try:
        fields = ActionFields.model_validate(given_fields)
    except ValidationError as error:
        raise ToolArgumentError(
            describe_validation_error("action", build_arguments_schema(ActionFields), error)
        ) from None
    return ParsedAction(
        fields.analysis_method,
        fields.analysis_args,
        fields.classifications,
        fields.payload_generators,
    )
