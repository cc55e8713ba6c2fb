"""How a visitor arrives: with an episode that the browser kept, by a link, or newly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.page.environment_view import Scenes
from openenv_kit.page.events import ask_first
from openenv_kit.page.visitor import Visitor

ARRIVED = """(state) => {
  const query = Object.fromEntries(new URLSearchParams(location.search));
  let kept = '';
  try { kept = sessionStorage.getItem(`mt-play:${location.pathname}`) || ''; } catch { /* none */ }
  return [state, JSON.stringify({ query, kept })];
}"""
"""Runs in the page before its first question; what it returns is what `arrive` is told."""

EPISODE = ("task", "seed", "reset")
"""Parts of an address that decide the episode."""


def arrive(scenes: Scenes, visitor: Visitor, sent: object) -> None:
    """Give a visitor the episode that they left, the one that they come for, or the opening.

    A link to another episode than the running one is a question: it would end that.

    Args:
        scenes: the environment's.
        visitor: new.
        sent: JSON with the address' `query`, and what the browser `kept` of a running episode.
            Anything else is as if none of it were known.

    Raises:
        Unsure: the link is to another episode than the running one.
    """
    query, kept = _read(sent)
    visitor.clear()
    visitor.arrived = True
    asked = reset_of(scenes, query)
    back = bool(kept) and visitor.restore(kept)
    here = address_of(scenes.environment.name, visitor.reset)
    same = back and all(query.get(name, here[name]) == here[name] for name in EPISODE)
    if asked and not back:
        visitor.start(**asked)
    if not visitor.started:
        visitor.demo = scenes.demo.again() if scenes.demo else None
    elif asked and back and not same:
        ask_first(visitor, "This link starts another one, which", lambda v: v.start(**asked))
    else:
        visitor.place = query.get("place", visitor.place)


def _read(text: object) -> tuple[dict[str, str], str]:
    try:
        said = json.loads(str(text))
        query = {str(name): str(value) for name, value in said["query"].items()}
        return query, str(said["kept"])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}, ""


def reset_of_task(environment: Environment, name: str) -> Mapping[str, Any]:
    """Arguments of the reset of a named task."""
    return environment.tasks.get(name, {"task_id": name})


def next_reset(scenes: Scenes, visitor: Visitor) -> Mapping[str, Any]:
    """An episode that the visitor has neither seen nor played."""
    environment = scenes.environment
    shown = scenes.demo.reset.get("task_id") if scenes.demo else None
    seen = {*visitor.finished, shown, visitor.task_id}
    fresh = [name for name in environment.tasks if name not in seen]
    splits = environment.splits
    if fresh or not splits.names():
        return environment.tasks[(fresh or list(environment.tasks))[0]]
    split = splits.names()[0]
    return splits.task(split, len(visitor.finished) % splits.size(split)).reset_arguments()


def reset_of(scenes: Scenes, query: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of the reset that an address names; empty where it names no episode."""
    reset: dict[str, Any] = {}
    if query.get("task"):
        reset |= reset_of_task(scenes.environment, query["task"])
    if query.get("seed", "").lstrip("-").isdecimal():
        reset["seed"] = int(query["seed"])
    try:
        more = json.loads(query.get("reset") or "{}")
    except (ValueError, RecursionError):
        more = {}
    return {**reset, **({str(n): v for n, v in more.items()} if isinstance(more, dict) else {})}


def address_of(environment: str, reset: Mapping[str, Any]) -> dict[str, str]:
    """An episode as parts of an address; inverse of `reset_of`."""
    rest = {n: v for n, v in reset.items() if n not in ("task_id", "seed") and v is not None}
    parts = {"environment": environment, "task": str(reset.get("task_id") or "")}
    parts["seed"] = str(reset["seed"]) if reset.get("seed") is not None else ""
    parts["reset"] = json.dumps(rest, separators=(",", ":"), default=str) if rest else ""
    return parts
