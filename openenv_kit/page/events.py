"""How the page is put together: views that show a visitor, and events that change one.

Every handler gets its visitor from the session's state, so no handler can see another's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr
from anyio import CapacityLimiter, to_thread

from openenv_kit.errors import KitError
from openenv_kit.page.visitor import Unsure, Visitor

if TYPE_CHECKING:
    from openenv_kit.page.environment_view import Scenes

Act = Callable[..., Any]
"""Changes a visitor; what it returns is not used."""

QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}
"""Options of a private event: not in the API, no wait shown, never queued."""
THREADS = CapacityLimiter(40)
"""Visitors for whom something is done at once; as many as Gradio has threads."""
FORGOTTEN = (
    "This page was left alone for too long, or the server was restarted. Reload it: the browser "
    "kept your episode, and it goes on where you were."
)


def ask_first(visitor: Visitor, doing: str, act: Callable[[Visitor], Any]) -> None:
    """Do what ends the running episode; whoever has taken a step in it is asked before.

    Raises:
        Unsure: there is something to lose.
    """
    if visitor.over or not (visitor.steps or visitor.rows):
        act(visitor)
        return
    text = f"You are at step {visitor.steps} of an episode. {doing} ends it without a score."
    raise Unsure(text, "End it", act)


@dataclass(frozen=True)
class View:
    """A piece of HTML that shows one side of a visitor's play.

    Attributes:
        component: of Gradio.
        show: its HTML; empty for nothing.
    """

    component: gr.HTML
    show: Callable[[Scenes, Visitor], str]


@dataclass
class Page:
    """What the tabs share while the page is built.

    Attributes:
        scenes: the environment's.
        state: holds each session's visitor.
        bridge: reports clicks on buttons inside HTML.
        views: by name; every tab adds its own.
        events: added once all views exist.
    """

    scenes: Scenes
    state: gr.State
    bridge: gr.HTML
    views: dict[str, View] = field(default_factory=dict)
    events: list[Callable[[], Any]] = field(default_factory=list)

    def add_view(self, name: str, show: Callable[[Scenes, Visitor], str], place: str = "") -> None:
        """Lay out a piece of HTML that shows a visitor.

        Args:
            name: of the view.
            show: its HTML; empty for nothing.
            place: its id in the page; by default the name behind `mt-`.
        """
        self.views[name] = View(html(elem_id=place or f"mt-{name}"), show)

    def on_load(self, trigger: Callable[..., Any], act: Act, source: Any, js: str) -> None:
        """When the page is loaded, let `act` make its visitor from what the script `js` told."""

        async def handle(visitor: Visitor, value: Any) -> list[Any]:
            return await in_turn(visitor, self._handled, act, value, self.views)

        self._listen(trigger, handle, [source], self.views, {"js": js})

    def on_bridge(
        self, trigger: Callable[..., Any], act: Act, show: Collection[str], **options: Any
    ) -> None:
        """When something is clicked, let `act` change the visitor and show some views again.

        Args:
            trigger: an event of the bridge.
            act: takes the visitor and the value of what was clicked; an error of the package it
                raises becomes the visitor's `problem`, an `Unsure` their `question`.
            show: names of the views that may have changed; `page.views` itself for all of them.
            options: passed on to Gradio.

        Of clicks that come faster than they are answered the last one counts, unless
        `trigger_mode` says otherwise; Gradio alone would drop all but the first.
        """

        async def handle(visitor: Visitor, event: gr.EventData) -> list[Any]:
            expect_visitor(visitor)
            try:
                value = event.value
            except (AttributeError, TypeError):  # not a click, but a call past the page
                value = None
            return await in_turn(visitor, self._handled, act, value, show)

        self._listen(trigger, handle, (), show, {"trigger_mode": "always_last", **options})

    def _handled(self, visitor: Visitor, act: Act, value: Any, show: Collection[str]) -> list[Any]:
        try:
            visitor.problem = ""
            act(visitor, value)
        except Unsure as asked:
            visitor.question = asked.with_traceback(None)
        except KitError as problem:
            visitor.problem = str(problem)
        return [visitor, *(self.views[name].show(self.scenes, visitor) for name in show)]

    def _listen(
        self,
        trigger: Callable[..., Any],
        handle: Callable[..., Any],
        inputs: Sequence[Any],
        show: Collection[str],
        options: dict[str, Any],
    ) -> None:
        def listen() -> None:
            changed = [self.views[name].component for name in show]
            # Gradio's page tells every component on which some event has ever shown its progress
            # about each stage of every other event, and searches the tree of components for it.
            settings = {**QUIET, "show_progress_on": self.bridge, **options}
            trigger(handle, [self.state, *inputs], [self.state, *changed], **settings)

        self.events.append(listen)


async def in_turn(visitor: Visitor, work: Callable[..., list[Any]], *more: Any) -> list[Any]:
    """Call `work` in a thread: a visitor's calls one after the other, none for one who left.

    Raises:
        gr.Error: the visitor left before it was begun.
    """
    async with visitor.turn:
        if visitor.away:
            raise gr.Error("Nobody is there to read the answer.", print_exception=False)
        return await to_thread.run_sync(work, visitor, *more, limiter=THREADS)


def expect_visitor(visitor: Visitor) -> None:
    """Stop a visitor who was forgotten from going on in a state that is not theirs.

    Raises:
        gr.Error: the page was not loaded for this visitor.
    """
    if not visitor.arrived:
        raise gr.Error(FORGOTTEN, duration=None, title="Forgotten", print_exception=False)


def html(value: str = "", **options: Any) -> gr.HTML:
    """HTML without Gradio's own prose styles and padding."""
    return gr.HTML(value, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


SAVE = """([name, text]) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def saves(button: gr.Button, state: gr.State, make: Callable[[Any], list[str]]) -> None:
    """Let a button save a file that is made on demand; `make` returns its name and its text."""
    file = gr.JSON(visible=False)

    async def save(visitor: Visitor) -> list[Any]:
        expect_visitor(visitor)
        return await in_turn(visitor, make)

    made = button.click(save, state, file, **QUIET)
    made.then(None, file, js=SAVE, api_visibility="private")
