"""Suggests a visitor's next step: the reference policy, applied to the replies received so far.

The policy is a generator that yields actions and receives observations. This module answers its
actions from the stored replies and has no access to the session or the episode. A suggestion
therefore depends only on data that the visitor has already received.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from openenv_kit.errors import KitError
from openenv_kit.rollouts.policies import Action, ObservationJson, Policy

ReportRow = Mapping[str, Any]
ERROR_STATUS = "error"
"""Value of the field `status` in the reply to a rejected action."""


class AnsweredStep(NamedTuple):
    """A step of the episode and the reply that the visitor received.

    Attributes:
        action: the visitor's action.
        observation: reply to the action.
        is_read_only: whether the action left the episode unchanged.
    """

    action: Mapping[str, Any]
    observation: ObservationJson
    is_read_only: bool


def suggest_step(
    policy: Policy, reset_observation: ObservationJson, steps: Sequence[AnsweredStep]
) -> Action | None:
    """Return the first action of a policy for which there is no stored reply.

    Args:
        policy: the policy, usually the reference policy.
        reset_observation: reply to the reset.
        steps: steps of the episode so far.

    Returns:
        The action; None if the policy ends before such an action, or fails on a stored reply.
    """
    replies = collect_valid_replies(steps)
    try:
        with closing(policy.generate_actions(reset_observation)) as actions:
            action = next(actions)
            while (reply := replies.get(build_action_key(action))) is not None:
                action = actions.send(reply)
            return action
    except StopIteration:
        return None
    except (KitError, LookupError, TypeError, ValueError):
        # A policy may fail on replies of play rules that it was not written for. The page then
        # shows no suggestion instead of an error.
        return None


def collect_valid_replies(steps: Sequence[AnsweredStep]) -> dict[str, ObservationJson]:
    """Return the replies that are still valid, by the key of their action.

    Replies to rejected actions are omitted. An accepted action that changes the episode invalidates
    all earlier replies.
    """
    replies: dict[str, ObservationJson] = {}
    for step in steps:
        if step.observation.get("status") == ERROR_STATUS:
            continue
        if not step.is_read_only:
            replies.clear()
        replies[build_action_key(step.action)] = step.observation
    return replies


def build_action_key(action: Mapping[str, Any]) -> str:
    """Return a string that identifies an action, regardless of the order of its fields.

    Fields without a value are omitted, because they have no effect.
    """
    return json.dumps(_without_empty_fields(action), sort_keys=True, default=str)


def _without_empty_fields(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_empty_fields(field) for name, field in value.items() if field is not None
        }
    return value


@dataclass(frozen=True)
class ChangedRow:
    """A suggested row that the visitor's report contains with different values in some fields.

    Attributes:
        row: the suggested row.
        fields: names of the fields that differ.
    """

    row: ReportRow
    fields: Sequence[str]


@dataclass(frozen=True)
class ReportDifference:
    """Difference between the visitor's report and a suggested one.

    Attributes:
        added: suggested rows that are missing in the visitor's report.
        removed: rows of the visitor's report that are not suggested.
        changed: suggested rows that the visitor's report contains with different values.
    """

    added: Sequence[ReportRow]
    removed: Sequence[ReportRow]
    changed: Sequence[ChangedRow]

    @property
    def is_empty(self) -> bool:
        """Whether the reports are equal."""
        return not (self.added or self.removed or self.changed)


def compare_reports(
    rows: Sequence[ReportRow], suggested_rows: Sequence[ReportRow], key_fields: Sequence[str]
) -> ReportDifference:
    """Compare the visitor's rows with suggested rows.

    Args:
        rows: rows of the visitor's report, which may be incomplete.
        suggested_rows: rows of the suggested report.
        key_fields: names of the fields that identify a row.
    """
    rows_by_key = {_key_of_row(row, key_fields): row for row in reversed(rows)}
    suggested_keys = {_key_of_row(row, key_fields) for row in suggested_rows}
    added, changed = [], []
    for suggested in suggested_rows:
        own = rows_by_key.get(_key_of_row(suggested, key_fields))
        if own is None:
            added.append(suggested)
            continue
        fields = [
            name for name, value in suggested.items() if not _are_equal_values(own.get(name), value)
        ]
        if fields:
            changed.append(ChangedRow(suggested, fields))
    removed = [row for row in rows if _key_of_row(row, key_fields) not in suggested_keys]
    return ReportDifference(added, removed, changed)


def _key_of_row(row: ReportRow, key_fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(name, "")) for name in key_fields)


def _are_equal_values(value: object, suggested: object) -> bool:
    """Return whether two values are equal. Numbers are compared by value, even if given as text."""
    if value == suggested:
        return True
    try:
        return float(str(value)) == float(str(suggested))
    except ValueError:
        return False
