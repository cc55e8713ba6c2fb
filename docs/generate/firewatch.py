"""Firewatch's generated parts: what each action does, and an incident for each look."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial

from docs.generate.examples import table
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.gates import TABLE
from firewatch_env.page.story import GROUPS, names_of
from firewatch_env.tasks.causes import CAUSES, LOOKS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tools import CATALOGUE
from openenv_kit.play.driver import moves


def actions(group: str) -> str:
    """Table of the actions of one group: `look`, `mitigate`, `repair` or `declare`."""
    rows = []
    for name in names_of(group):
        tool = CATALOGUE.find(name)
        given = [each for each in tool.parameters["properties"] if each != "target_service"]
        rows.append([f"`{name}`", tool.description, ", ".join(f"`{each}`" for each in given)])
    return table(["action", "what it does", "parameters"], rows, "lll")


@cache
def task_of(look: str) -> str:
    """The first named task, easy ones first, whose fault has a look.

    Raises:
        LookupError: no named task has it.
    """
    for named in NAMED.values():
        if CAUSES[named.cause].look == look:
            return named.task_id
    raise LookupError(f"no named task looks like {look!r}")


def incident(look: str) -> str:
    """The reference's play of a task with a look: each action, and what came back."""
    session = ENVIRONMENT.session()
    reply = session.reset(task_id=task_of(look))
    opening = reply.content
    rows: list[list[str]] = []
    for action, answer in moves(session, ENVIRONMENT.policies["reference"], reply):
        reply = answer
        tick = str(reply.content["sim_tick"])
        given = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}"
                          for k, v in (action.get("parameters") or {}).items())  # fmt: skip
        name = f"`{action['action_type']}`" + (f", {given}" if given else "")
        told = reply.message.replace("|", "\\|")
        burn = f"{reply.content['current_slo_burn_rate']:.0f}"
        row = [tick, name, action.get("target_service") or "", told, burn]
        if rows and rows[-1][1:3] == row[1:3]:  # looked at until something changes
            row[0] = f"{rows.pop()[0].split('–')[0]}–{tick}"
        rows.append(row)
    alerts = [
        f"{each['alertname']}, {each['description']}" for each in opening["active_alerts"][:3]
    ]
    header = ["tick", "action", "service", "what came back", "burn rate"]
    parts = (reply.info or {})["score_parts"]
    score = ", ".join(f"{name} {parts[name]:.2f}" for name in ("impact", "precision", "closure"))
    return (
        f"`{task_of(look)}` opens with: {'; '.join(alerts) or 'no alert'}.\n\n"
        f"{table(header, rows, 'rlllr')}\n\nScore {reply.reward:.2f}: {score}."
    )


def gate_table() -> str:
    """What each player earned when the gates were last measured."""
    told = json.loads(TABLE.read_text(encoding="utf-8"))
    groups = [f"{name} ({size})" for name, size in told["tasks"].items()]
    rows = [
        [row["player"], *(f"{each:.3f}" for each in row["figures"].values()), row["gate"]]
        for row in told["rows"]
    ]
    return table(["player", *groups, "gate"], rows, "l" + "r" * len(groups) + "l")


SECTIONS: dict[str, Callable[[], str]] = {
    **{f"firewatch-{group}": partial(actions, group) for group in GROUPS},
    "firewatch-gates": gate_table,
    **{f"incident-{look}": partial(incident, look) for look in LOOKS},
}
