"""How the tabs are put together: views that show a visitor, and events that change one.

Every handler gets its visitor from the session's state, so no handler can see another's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.errors import KitError
from openenv_kit.page.state import Visitor

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

Act = Callable[..., Any]
"""Changes a visitor; what it returns is not used."""

QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}
"""Options of an event that is nobody's business: not in the API, no wait shown, never queued."""
FORGOTTEN = (
    "This page was left alone for too long, or the server was restarted, and its episode is "
    "gone. Start another one on the Episode tab, or reload the page."
)


@dataclass(frozen=True)
class View:
    """Components that show one side of a visitor's play.

    Attributes:
        outputs: the components.
        show: their values, one for each, in the same order.
    """

    outputs: Sequence[Any]
    show: Callable[[Any], Sequence[Any]]


@dataclass
class Page:
    """What the tabs share while the page is built.

    Attributes:
        scenes: the environment's.
        state: holds each session's visitor.
        bridge: reports clicks on charts and on buttons inside tables.
        debug: whether this server shows answers.
        views: by name; every tab adds its own.
        events: added once all views exist.
    """

    scenes: Scenes
    state: gr.State
    bridge: gr.HTML
    debug: bool
    views: dict[str, View] = field(default_factory=dict)
    events: list[Callable[[], Any]] = field(default_factory=list)

    def on(
        self,
        trigger: Callable[..., Any],
        act: Act,
        inputs: Sequence[Any] = (),
        show: Collection[str] = (),
        *,
        wait_on: Sequence[Any] = (),
        api_name: str | None = None,
        opens: bool = False,
        **options: Any,
    ) -> None:
        """When the trigger fires, let `act` change the visitor and show some views again.

        Args:
            trigger: an event of a component, such as `button.click`.
            act: takes the visitor and the inputs' values; an error of the package it raises
                becomes the visitor's `problem`.
            inputs: components whose values `act` takes.
            show: names of the views that may have changed; `page.views` itself for all of them.
            wait_on: components that show the wait.
            api_name: public name for Gradio's own clients; None keeps the event private.
            opens: whether a visitor without an episode may do this.
            options: passed on to Gradio.
        """

        def handle(visitor: Visitor, *values: Any) -> list[Any]:
            if not (opens or api_name):
                expect_episode(visitor)
            return self._handled(visitor, act, values, show)

        if wait_on:
            options |= {"show_progress": "full", "show_progress_on": list(wait_on)}
        if api_name:
            options |= {"api_name": api_name, "api_visibility": "public"}
        self._listen(trigger, handle, inputs, show, options)

    def on_bridge(
        self, trigger: Callable[..., Any], act: Act, show: Collection[str], **options: Any
    ) -> None:
        """As `on`, for the bridge: `act` takes the visitor and the value of what was clicked.

        Of clicks that come faster than they are answered the last one counts, unless
        `trigger_mode` says otherwise; Gradio alone would drop all but the first.
        """

        def handle(visitor: Visitor, event: gr.EventData) -> list[Any]:
            expect_episode(visitor)
            try:
                value = event.value
            except (AttributeError, TypeError):  # not a click, but a call past the page
                value = None
            return self._handled(visitor, act, (value,), show)

        self._listen(trigger, handle, (), show, {"trigger_mode": "always_last", **options})

    def whole(self) -> list[str]:
        """Names of the views that show a visitor completely, without those that are part of one."""
        parts = {name: {id(each) for each in view.outputs} for name, view in self.views.items()}
        return [n for n, p in parts.items() if not any(p < other for other in parts.values())]

    def _handled(
        self, visitor: Visitor, act: Act, values: Sequence[Any], show: Collection[str]
    ) -> list[Any]:
        with visitor.lock:
            try:
                visitor.problem = ""
                act(visitor, *values)
            except KitError as problem:
                visitor.problem = str(problem)
            return [visitor, *(v for name in show for v in self.views[name].show(visitor))]

    def _listen(
        self,
        trigger: Callable[..., Any],
        handle: Callable[..., Any],
        inputs: Sequence[Any],
        show: Collection[str],
        options: dict[str, Any],
    ) -> None:
        def listen() -> None:
            changed = [each for name in show for each in self.views[name].outputs]
            # Gradio's page tells every component on which some event has ever shown its progress
            # about each stage of every other event, and searches the tree of components for it.
            told = {**QUIET, "show_progress_on": self.bridge, **options}
            trigger(handle, [self.state, *inputs], [self.state, *changed], **told)

        self.events.append(listen)


def expect_episode(visitor: Visitor) -> None:
    """Stop a visitor who was forgotten from going on in an episode that is not theirs.

    Raises:
        gr.Error: no episode was started.
    """
    if not visitor.started:
        raise gr.Error(FORGOTTEN, duration=None, title="Episode gone", print_exception=False)
