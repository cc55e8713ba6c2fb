"""How a visitor arrives: by a link that names an episode, after a reload, or for the first time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from openenv_kit.page.state import Visitor

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

ARRIVED = """(state) => {
  const query = Object.fromEntries(new URLSearchParams(location.search));
  const named = Object.keys(query).some((each) => !each.startsWith('__'));
  let token = '', first = false;
  try {
    token = sessionStorage.getItem('mt-token') || '';
    first = !named && !token && !localStorage.getItem('mt-seen');
    localStorage.setItem('mt-seen', 'yes');
  } catch { /* a browser that keeps nothing: every visit begins anew */ }
  return [state, JSON.stringify({ query, token, first })];
}"""
"""Runs in the page before its first question; what it returns is what `arrive` is told."""


EPISODE = ("task", "seed", "reset")
"""Parts of an address that decide the episode; a link to another one starts that."""


def arrive(scenes: Scenes, visitor: Visitor, told: object) -> None:
    """Give a visitor the episode that they come for, or the one that they left.

    Args:
        scenes: the environment's.
        visitor: new.
        told: JSON with the address' `query`, the `token` of the visitor who was here before, and
            whether this browser sees the page for the `first` time. Anything else is as if none
            of it were known.
    """
    query, token, first = _read(told)
    left = scenes.address(visitor) if token and visitor.take_over(token) else None
    if left is None or any(query.get(name, left[name]) != left[name] for name in EPISODE):
        _start(scenes, visitor, query)
        if first:
            visitor.watch(scenes.first_visit())
            visitor.playing = visitor.shown_round = visitor.playback is not None
    scenes.arrived(visitor, query)
    if visitor.playback is not None and query.get("step", "").isdecimal():
        visitor.playback.go(int(query["step"]))


def _read(told: object) -> tuple[dict[str, str], str, bool]:
    try:
        said = json.loads(str(told))
        query = {str(name): str(value) for name, value in said["query"].items()}
        return query, str(said["token"]), said["first"] is True
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return {}, "", False


def _start(scenes: Scenes, visitor: Visitor, query: Mapping[str, str]) -> None:
    """Start what the address names; what it names wrongly is told, beside the default task."""
    reset = _reset_of(scenes, query)
    if reset:
        visitor.start(**reset)
    problem = visitor.problem
    visitor.ensure_episode()
    visitor.problem = visitor.problem or problem


def _reset_of(scenes: Scenes, query: Mapping[str, str]) -> dict[str, Any]:
    reset: dict[str, Any] = {}
    if query.get("task"):
        reset |= scenes.reset_of_task(query["task"])
    if query.get("seed", "").lstrip("-").isdecimal():
        reset["seed"] = int(query["seed"])
    try:
        more = json.loads(query.get("reset") or "{}")
    except (ValueError, RecursionError):
        more = {}
    return {**reset, **({str(n): v for n, v in more.items()} if isinstance(more, dict) else {})}


def address_of(environment: str, reset: Mapping[str, Any]) -> dict[str, str]:
    """An episode as parts of an address; inverse of what `arrive` reads."""
    rest = {n: v for n, v in reset.items() if n not in ("task_id", "seed") and v is not None}
    parts = {"environment": environment, "task": str(reset.get("task_id") or "")}
    parts["seed"] = str(reset["seed"]) if reset.get("seed") is not None else ""
    parts["reset"] = json.dumps(rest, separators=(",", ":"), default=str) if rest else ""
    return parts


def play_yourself(visitor: Visitor, _: object) -> None:
    """Start the episode of the play that was shown, for the visitor to play."""
    if visitor.playback is not None:
        reset = visitor.playback.reset
        visitor.watch(None)
        visitor.start(**reset)
