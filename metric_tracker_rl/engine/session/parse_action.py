"""One step as a player sends it, read from anything at all.

An action that cannot be read is answered like any other mistake, with an error that says what is
allowed. A bad row does not spoil its action: it is graded as invalid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openenv_kit.errors import ToolArgumentError, truncated_repr
from openenv_kit.schema import describe_validation_error, json_schema

NO_ARGUMENTS: Mapping[str, Any] = MappingProxyType({})


class ParsedAction(NamedTuple):
    """One step; exactly one kind of action may be used."""

    analysis_method: str | None = None
    analysis_args: Mapping[str, Any] = NO_ARGUMENTS
    classifications: Sequence[Any] = ()
    payload_generators: Sequence[Any] = ()


class ActionFields(BaseModel):
    """The fields of an action; rows and generators are read where they are used."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, Any] = Field(default_factory=dict)
    classifications: list[Any] = Field(default_factory=list)
    analysis_method: str | None = None
    analysis_args: dict[str, Any] = Field(default_factory=dict)
    payload_generators: list[Any] = Field(default_factory=list)


def parse_action(action: object) -> ParsedAction:
    """The call that an action stands for.

    Raises:
        ToolArgumentError: not an action; says which field is wrong and what is allowed.
    """
    if not isinstance(action, Mapping):
        raise ToolArgumentError(f"action is {truncated_repr(action)}; allowed: an object.")
    # A null stands for an optional field that was left out, as in a reset.
    given = {
        name: value
        for name, value in action.items()
        if value is not None or name not in ActionFields.model_fields
    }
    try:
        fields = ActionFields.model_validate(given)
    except ValidationError as error:
        raise ToolArgumentError(
            describe_validation_error("action", json_schema(ActionFields), error)
        ) from None
    return ParsedAction(
        fields.analysis_method,
        fields.analysis_args,
        fields.classifications,
        fields.payload_generators,
    )
