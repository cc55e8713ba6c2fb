"""Firewatch's generated parts: what each tool does, and one incident from page to declaration."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from docs.generate.examples import table
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.tools import CATALOGUE, GROUPS
from openenv_kit.rollouts.run_policy import iter_policy_steps

TOLD = "task_easy_timeout_propagation"
"""The incident that the page tells."""


def tools() -> str:
    """Table of the tools that a model is offered, with their optional arguments."""
    rows = []
    for group, names in GROUPS.items():
        for name in names:
            tool = CATALOGUE.find_tool(name)
            given = [each for each in tool.parameters["properties"] if each != "target_service"]
            call = f"`{name}`" + (f" ({', '.join(given)})" if given else "")
            rows.append([group, call, tool.description])
    return table(["group", "tool", "what it does"], rows, "lll")


def incident() -> str:
    """The reference's play of an incident, as a model reads it; looking on is told once."""
    session = ENVIRONMENT.create_session()
    reply = session.reset(task_id=TOLD)
    said = [reply.message]
    played = iter_policy_steps(session, ENVIRONMENT.policies["reference"], reply)
    for action, answers in groupby(played, key=lambda move: move[0]):
        *before, (_, answer) = answers
        target = action.get("target_service")
        order = f"> {action['action_type']}{f' {target}' if target else ''}"
        said.append(f"{order}{f' (× {len(before) + 1})' if before else ''}\n{answer.message}")
    return "```text\n" + "\n\n".join(said) + "\n```"


SECTIONS: dict[str, Callable[[], str]] = {
    "firewatch-incident": incident,
    "firewatch-tools": tools,
}
