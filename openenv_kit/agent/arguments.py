"""Arguments of a tool call, from the text a model wrote."""

from __future__ import annotations

import json
from typing import Any

from openenv_kit.errors import ToolArgumentError, echo


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
