"""Python functions with the signatures of the tools, for libraries that read those.

A library that makes its tool schemas from type hints and Google docstrings is given both,
written from the registry; so a tool is still declared once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import Arguments, PayloadArguments
from metric_tracker_rl.engine.funnel import ORDERING_APP
from metric_tracker_rl.engine.report import NAME_FIELDS
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS
from metric_tracker_rl.engine.vocabulary import ROW_GENERATORS
from metric_tracker_rl.rows import MethodSpec
from openenv_kit.trainers.tool_calls import SUBMIT_GENERATOR, SUBMIT_SOLUTION

_ROWS_HELP = (
    f"every row of the report, each an object with {', '.join(ROW_FIELDS)}; "
    + "; ".join(f"{name} is one of {', '.join(names)}" for name, names in NAME_FIELDS.items())
    + "; empty for no anomaly"
)
_GENERATORS_HELP = (
    "row generators to run, each an object with method_name (one of "
    f"{', '.join(ROW_GENERATORS)}) and, as you like, threshold_multiplier, metric_names and dates"
)
_MODELS: dict[str, type[Arguments] | None] = {
    **{name: tool.arguments for name, tool in TOOLS.items()},
    SUBMIT_GENERATOR: PayloadArguments,
    SUBMIT_SOLUTION: None,
}
"""Argument model of each tool; None is the report's rows."""

Parameter = inspect.Parameter


def dress(function: Callable[..., Any], spec: MethodSpec, *, bound: bool = False) -> None:
    """Give a function that takes any keywords the name, signature and docstring of a tool.

    Args:
        function: takes the tool's arguments as keywords.
        spec: the tool.
        bound: whether the function is a method, which takes `self` first.
    """
    fields = _fields(_MODELS[spec.name])
    # Arguments without a default have to stand first.
    fields.sort(key=lambda each: each[0].default is not Parameter.empty)
    parameters = [parameter for parameter, _ in fields]
    own = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)] if bound else []
    helps = [f"    {parameter.name}: {text}" for parameter, text in fields]
    lines = [spec.description, "", *(["Args:", *helps, ""] if helps else [])]
    function.__doc__ = "\n".join([*lines, "Returns:", "    The answer as one line of JSON."])
    function.__name__ = spec.name
    function.__qualname__ = spec.name
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*own, *parameters], return_annotation=str
    )
    hints = {parameter.name: parameter.annotation for parameter in parameters}
    function.__annotations__ = {**hints, "return": str}


def _fields(model: type[Arguments] | None) -> list[tuple[Parameter, str]]:
    """Each argument with its help."""
    if model is None:
        return [(_parameter("rows", list[dict], Parameter.empty), _ROWS_HELP)]  # type: ignore[type-arg]
    found = []
    for name, field in model.model_fields.items():
        text = field.description or name.replace("_", " ")
        if model is PayloadArguments:
            text = _GENERATORS_HELP
        found.append((_parameter(name, _hint(field), _default(field)), text))
    return found


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=hint, default=default)


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return Parameter.empty
    return field.get_default(call_default_factory=True)


def _hint(field: FieldInfo) -> Any:
    """The field's type in words that a schema reader knows: names become literals."""
    extra = field.json_schema_extra
    names = extra.get("names") if isinstance(extra, dict) else None
    hint = _plain(field.annotation)
    if not isinstance(names, str):
        return hint
    literal: Any = Literal.__getitem__(tuple(getattr(ORDERING_APP, names)))
    if get_origin(hint) is list:
        return list[literal]
    return literal | None if type(None) in get_args(hint) else literal


def _plain(hint: Any) -> Any:
    """The type hint; a list of models, which no schema reader knows, as a list of objects."""
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        return hint if item in (str, int, float) else list[dict]  # type: ignore[type-arg]
    return hint
