"""Generates Firewatch's table of tools, and the transcript of one incident."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from docs.generate.examples import markdown_table
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.tools import CATALOGUE, GROUPS
from openenv_kit.rollouts.run_policy import iter_policy_steps

EXAMPLE_TASK_ID = "task_easy_timeout_propagation"


def tools_table() -> str:
    """Return a table of the tools that a model is offered, with their optional arguments."""
    rows = []
    for group, names in GROUPS.items():
        for name in names:
            tool = CATALOGUE.find_tool(name)
            arguments = [
                argument
                for argument in tool.parameters["properties"]
                if argument != "target_service"
            ]
            call = f"`{name}`" + (f" ({', '.join(arguments)})" if arguments else "")
            rows.append([group, call, tool.description])
    return markdown_table(["group", "tool", "what it does"], rows, "lll")


def incident_transcript() -> str:
    """Return the reference policy's actions and replies in an incident.

    Equal actions in a row are one entry, with the last reply.
    """
    session = ENVIRONMENT.create_session()
    reply = session.reset(task_id=EXAMPLE_TASK_ID)
    entries = [reply.message]
    steps = iter_policy_steps(session, ENVIRONMENT.policies["reference"], reply)
    for action, equal_steps in groupby(steps, key=lambda step: step[0]):
        replies = [step_reply for _, step_reply in equal_steps]
        entry = f"> {action['action_type']}"
        if action.get("target_service"):
            entry += f" {action['target_service']}"
        if len(replies) > 1:
            entry += f" (× {len(replies)})"
        entries.append(f"{entry}\n{replies[-1].message}")
    return "```text\n" + "\n\n".join(entries) + "\n```"


SECTIONS: dict[str, Callable[[], str]] = {
    "firewatch-incident": incident_transcript,
    "firewatch-tools": tools_table,
}
