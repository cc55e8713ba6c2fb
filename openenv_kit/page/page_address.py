"""Opens the page: restores the saved episode, or starts the episode that the URL selects."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from openenv_kit.environment import Environment
from openenv_kit.page.begin_episode import begin_episode
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.events import run_or_ask_before_ending_episode
from openenv_kit.page.visitor import ConfirmationRequired, Visitor
from openenv_kit.sealed_split import is_sealed_split

READ_ADDRESS_JS = """async (state) => {
  const query = Object.fromEntries(new URLSearchParams(location.search));
  let [kept, linked] = ['', ''];
  try { kept = sessionStorage.getItem(`mt-play:${location.pathname}`) || ''; } catch { /* none */ }
  try {
    const packed = new URLSearchParams(location.hash.slice(1)).get('play') || '';
    const text = atob(packed.replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(text, (each) => each.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    if (packed) linked = await new Response(stream).text();
  } catch { /* the address was cut off */ }
  return [state, JSON.stringify({ query, kept, linked })];
}"""
"""Script that runs when the page is loaded.

Its result is passed as JSON to `restore_or_start_episode_on_page_load`.
"""

EPISODE_PARAMETERS = ("task", "seed", "reset")
"""Query parameters of the page's URL that select the episode."""


def restore_or_start_episode_on_page_load(
    environment_view: EnvironmentView, visitor: Visitor, browser_state_json: object
) -> None:
    """Restore the visitor's saved episode, start the episode in the URL, or show the first screen.

    Args:
        environment_view: view of the environment.
        visitor: a new visitor.
        browser_state_json: JSON object with `query` (the query parameters of the page's URL),
            `kept` (the saved episode) and optionally `linked` (the episode in the URL's fragment).
            Any other value is ignored.

    Raises:
        ConfirmationRequired: the URL selects an episode that is not the restored one, or a sealed
            task.
    """
    query, kept, linked = _parse_browser_state(browser_state_json)
    visitor.close_episode_and_clear()
    visitor.is_page_loaded = True
    if linked and not kept:
        if is_sealed_split(_read_split_of_saved_episode(linked)):
            _ask_before_sealed_task(lambda v: v.restore_saved_episode(linked, may_submit=False))
        # Browsers deny storage to a page that is embedded in another site, but the URL still
        # contains the episode.
        kept = linked
    back = bool(kept) and visitor.restore_saved_episode(kept, may_submit=kept != linked)
    if back and linked and not _is_same_play(linked, kept):
        run_or_ask_before_ending_episode(
            visitor,
            "This link opens another one, which",
            lambda v: v.restore_saved_episode(linked, may_submit=False),
        )
        return
    asked = parse_reset_from_query_parameters(environment_view, query)
    here = build_query_parameters_of_reset(environment_view.environment.name, visitor.reset)
    same = back and all(query.get(name, here[name]) == here[name] for name in EPISODE_PARAMETERS)
    if asked and not same and is_sealed_split(asked.get("split")):
        _ask_before_sealed_task(lambda v: v.start_episode(**asked))
    if asked and not back:
        begin_episode(environment_view, visitor, asked)
        visitor.selection = query.get("place") or visitor.selection
    elif asked and not same:
        run_or_ask_before_ending_episode(
            visitor,
            "This link starts another one, which",
            lambda v: begin_episode(environment_view, v, asked),
        )
    elif back:
        visitor.selection = query.get("place", visitor.selection)


class _BrowserState(NamedTuple):
    """State of the browser when the page was loaded.

    Attributes:
        address_parameters: query parameters of the page's URL.
        saved_episode_json: episode that this browser tab has saved; may be empty.
        linked_episode_json: episode in the fragment of the URL; may be empty.
    """

    address_parameters: dict[str, str]
    saved_episode_json: str
    linked_episode_json: str = ""


def _parse_browser_state(state_json: object) -> _BrowserState:
    try:
        state = json.loads(str(state_json))
        query = {str(name): str(value) for name, value in state["query"].items()}
        return _BrowserState(query, str(state["kept"]), str(state.get("linked", "")))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _BrowserState({}, "")


def _ask_before_sealed_task(start: Callable[[Visitor], Any]) -> NoReturn:
    raise ConfirmationRequired(
        "This link starts a sealed task. Every start of a sealed task is counted.",
        "Start the sealed task",
        start,
    )


def _read_split_of_saved_episode(saved_json: str) -> object:
    """Return the split in the reset arguments of a saved episode; None if the JSON is invalid."""
    try:
        return json.loads(saved_json)["reset"].get("split")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _is_same_play(linked_json: str, saved_json: str) -> bool:
    """Return whether the saved episode continues the linked one; True if the link is damaged."""
    try:
        linked, saved = json.loads(linked_json), json.loads(saved_json)
        actions = linked["actions"]
        return bool(
            linked["reset"] == saved["reset"] and saved["actions"][: len(actions)] == actions
        )
    except (ValueError, TypeError, LookupError, RecursionError):
        return True


def build_reset_of_named_task(environment: Environment, task_name: str) -> Mapping[str, Any]:
    """Return the reset arguments of a named task. An unknown name is returned as the `task_id`."""
    return environment.reset_arguments_by_task_id.get(task_name, {"task_id": task_name})


def choose_next_reset(environment_view: EnvironmentView, visitor: Visitor) -> Mapping[str, Any]:
    """Return the reset arguments of the episode that follows the visitor's.

    An episode with settings of its own, such as a product's, is followed by its next seed.
    Otherwise an unseen task follows.
    """
    reset = visitor.reset
    is_task = any(reset.get(name) is not None for name in ("task_id", "split"))
    if isinstance(reset.get("seed"), int) and not is_task and not visitor.is_private:
        return {**reset, "seed": reset["seed"] + 1}
    return choose_unseen_task_reset(environment_view, visitor)


def choose_reset_of_same_level(visitor: Visitor) -> Mapping[str, Any] | None:
    """Return the reset arguments of the visitor's named task with another seed.

    The result is None if the episode is not of a named task.
    """
    seed = visitor.reset.get("seed")
    if visitor.reset.get("task_id") is None or not isinstance(seed, int):
        return None
    return {**visitor.reset, "seed": seed + 1}


def choose_unseen_task_reset(
    environment_view: EnvironmentView, visitor: Visitor
) -> Mapping[str, Any]:
    """Return the reset arguments of a task that the visitor has neither seen nor played.

    Named tasks come first, followed by the tasks of the first split in order.
    """
    environment = environment_view.environment
    seen = {*visitor.finished_task_ids, environment_view.example_task_id, visitor.task_id}
    fresh = [name for name in environment.reset_arguments_by_task_id if name not in seen]
    splits = environment.splits
    if fresh or not splits.list_playable_split_names():
        return environment.reset_arguments_by_task_id[
            (fresh or list(environment.reset_arguments_by_task_id))[0]
        ]
    split = splits.list_playable_split_names()[0]
    return splits.task(split, len(visitor.finished_task_ids) % splits.size(split)).reset_arguments()


def parse_reset_from_query_parameters(
    environment_view: EnvironmentView, query_parameters: Mapping[str, str]
) -> dict[str, Any]:
    """Return the reset arguments in the query parameters; empty if they select no episode."""
    reset: dict[str, Any] = {}
    if query_parameters.get("task"):
        reset |= build_reset_of_named_task(environment_view.environment, query_parameters["task"])
    if query_parameters.get("seed", "").lstrip("-").isdecimal():
        reset["seed"] = int(query_parameters["seed"])
    try:
        more = json.loads(query_parameters.get("reset") or "{}")
    except (ValueError, RecursionError):
        more = {}
    return {**reset, **({str(n): v for n, v in more.items()} if isinstance(more, dict) else {})}


def build_query_parameters_of_reset(
    environment_name: str, reset: Mapping[str, Any]
) -> dict[str, str]:
    """Return the query parameters that select an episode.

    This is the inverse of `parse_reset_from_query_parameters`.
    """
    rest = {n: v for n, v in reset.items() if n not in ("task_id", "seed") and v is not None}
    parts = {"environment": environment_name, "task": str(reset.get("task_id") or "")}
    parts["seed"] = str(reset["seed"]) if reset.get("seed") is not None else ""
    parts["reset"] = json.dumps(rest, separators=(",", ":"), default=str) if rest else ""
    return parts
