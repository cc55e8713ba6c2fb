"""What an environment's view suggests to a visitor: tool calls for a selection, and a next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SuggestedCall:
    """A tool call that a visitor can make with one click.

    Attributes:
        label: the question that the call answers, in plain language.
        tool: name of the tool.
        arguments: arguments of the call.
    """

    label: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QuestionPanel:
    """Suggested tool calls for the item that is selected in the overview.

    Attributes:
        title: name of the selected item.
        groups: suggested calls by heading. Each heading states the cost of its calls.
        known_html: HTML of the values that are already known for the selected item; may be empty.
        suggested_values: values that the tool forms suggest, by argument name. The first value of
            each argument is filled in.
    """

    title: str
    groups: Mapping[str, Sequence[SuggestedCall]]
    known_html: str = ""
    suggested_values: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NextStepHint:
    """The suggested next step.

    Attributes:
        text: the suggestion, with its reason.
        label: label of the button that performs the step; empty if there is no button.
        event: page event that the button sends. `go` moves the focus to another element.
        value: value of the event; for `go`, a CSS selector of the element.
        details_html: HTML below the text, such as a list of changes; may be empty.
    """

    text: str
    label: str = ""
    event: str = "go"
    value: str = "#mt-tools"
    details_html: str = ""
