"""The agent's tools: the environment's analysis methods, and two ways to submit.

A tool call of a model becomes an action here, or a message that says why it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.config import FUNNELS
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.rows import MetricSubmissionRow
from openenv_kit.agent.table import SUBMIT_GENERATORS, SUBMIT_ROWS
from openenv_kit.errors import ToolArgumentError, echo, nearest, unknown_name_message
from openenv_kit.tools.schema import json_schema

SUBMISSIONS = {
    SUBMIT_ROWS: ("rows", "classifications"),
    SUBMIT_GENERATORS: ("generator_methods", "payload_generators"),
}
"""Submitting tools: the name of their one argument, and the action's field it fills."""


class ToolBox:
    """The tools of one episode.

    Args:
        opening: observation of the reset, which holds the catalogue of the server at hand.
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        funnel = FUNNELS.get(opening.get("config", {}).get("funnel", ""), ORDERING_APP)
        catalogue: Sequence[Any] = opening.get("available_methods") or TOOLS.catalogue(funnel.name)
        self._parameters: dict[str, dict[str, Any]] = {
            each["name"]: each["parameters"] for each in catalogue
        }
        self.schemas = [
            _schema(each["name"], each["description"], each["parameters"]) for each in catalogue
        ]
        self.schemas.append(
            _schema(
                SUBMIT_ROWS,
                "Submit your final report and end the episode; no rows where nothing is wrong.",
                _object(
                    "rows", {"type": "array", "items": json_schema(MetricSubmissionRow, funnel)}
                ),
            )
        )
        generators = self._parameters.get("payload_generator", {}).get("properties", {})
        self.schemas.append(
            _schema(
                SUBMIT_GENERATORS,
                "Submit the rows that these row generators make as your final report and end the "
                "episode. Rows of dates that no method has shown you are invalid.",
                _object(
                    "generator_methods", generators.get("generator_methods", {"type": "array"})
                ),
            )
        )

    @property
    def names(self) -> list[str]:
        """Every tool's name."""
        return [*self._parameters, *SUBMISSIONS]

    def action(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The action of a tool call; what its arguments hold is for the environment to judge.

        Raises:
            ToolArgumentError: an unknown tool, or a submission without its argument.
        """
        if name in self._parameters:
            return {"analysis_method": name, "analysis_args": dict(arguments)}
        if name not in SUBMISSIONS:
            raise ToolArgumentError(unknown_name_message("tool", name, self.names))
        argument, field = SUBMISSIONS[name]
        for given in arguments:
            if given != argument:
                hint = " (did you mean it?)" if nearest(given, [argument]) else ""
                raise ToolArgumentError(
                    f"{name}: unknown argument {echo(given)}; allowed: {argument}{hint}. "
                    "Nothing was submitted."
                )
        rows = arguments.get(argument)
        # An absent list must not become the empty report.
        if not isinstance(rows, list) or (name == SUBMIT_GENERATORS and not rows):
            raise ToolArgumentError(
                f"{name}: {argument} is {echo(rows)}; allowed: a list. Nothing was submitted."
            )
        return {field: rows}

    def advice(self, name: str) -> str:
        """How to ask this tool for less."""
        known = self._parameters.get(name, {}).get("properties", {})
        ways = [words for argument, words in _LESS.items() if argument in known]
        return f"Call it again for less at a time: {' or '.join(ways)}." if ways else ""


_LESS = {
    "offset": "a higher offset",
    "limit": "a smaller limit",
    "dates": "only a few dates",
    "metric_names": "fewer metric_names",
    "threshold_multiplier": "a higher threshold_multiplier",
    "generator_methods": "fewer generator_methods",
    "threshold": "a higher threshold",
    "rows": "fewer rows",
}


def read_arguments(name: str, raw: str) -> dict[str, Any]:
    """Arguments of a tool call from the model's text; no text means none.

    Raises:
        ToolArgumentError: not a JSON object; says where it breaks.
    """
    try:
        arguments = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as problem:
        raise ToolArgumentError(
            f"{name}: the arguments are not JSON ({problem}); allowed: one JSON object. "
            "Nothing was run."
        ) from None
    if not isinstance(arguments, dict):
        raise ToolArgumentError(
            f"{name}: the arguments are {echo(arguments)}; allowed: one JSON object."
        )
    return arguments


def _schema(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}


def _object(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: dict(schema)}, "required": [name]}
