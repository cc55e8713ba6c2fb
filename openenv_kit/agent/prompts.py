"""What a model is told. The reporting policy is in it; answers and scoring tricks are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv_kit.agent.shorten import compact

SYSTEM = """\
You are a careful data analyst. You are given weeks of a product funnel's data, which you can \
see through read-only tools only. Find every row that the reporting policy asks for, and \
report exactly these: roots, not their echoes.

How to work:
- Start with task_overview: it states the policy, the thresholds, the severity bands and the \
fields of a report row.
- Look at the data with the other tools, several calls in one answer where that helps. Take \
baselines and observed values from tool replies; never guess or round them.
- Decide for each date, in the policy's order, which rows it asks for.
- Then submit once: submit_solution with your rows, or submit_payload_generator if row \
generators make exactly the right rows. A submission ends the episode. A report without rows is \
right where nothing is to be reported.
Answer with tool calls; text alone does nothing."""

REMINDER = (
    "You have not submitted a report, and text alone does nothing. Call submit_solution (or "
    "submit_payload_generator) now, or go on with the analysis tools. This is the only reminder."
)
LAST_ROUND = (
    "This is your last answer in this episode: call submit_solution or submit_payload_generator "
    "now with what you have found. Without a submission the score is 0."
)
LEFT_OUT = "[left out to save room; call the tool again if you need it]"


def opening_messages(opening: Mapping[str, Any]) -> list[dict[str, Any]]:
    """System and first user message of an episode, from the reset's observation."""
    parts = [opening["instruction"], f"Configuration: {compact(opening['config'])}"]
    if opening.get("conversion_metric_definitions"):
        parts.append(f"Conversion rates: {compact(opening['conversion_metric_definitions'])}")
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "\n\n".join(parts)},
    ]
