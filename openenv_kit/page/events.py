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
from openenv_kit.page.visitor import ConfirmationRequired, Visitor

if TYPE_CHECKING:
    from openenv_kit.page.environment_view import EnvironmentView

VisitorHandler = Callable[..., Any]
"""Changes a visitor; what it returns is not used."""

PRIVATE_EVENT_OPTIONS: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}
"""Options of a private event: not in the API, no wait shown, never queued."""
VISITOR_THREADS = CapacityLimiter(40)
"""Visitors for whom something is done at once; as many as Gradio has threads."""
SESSION_EXPIRED_TEXT = (
    "This page was left alone for too long, or the server was restarted. Reload it: the browser "
    "kept your episode, and it goes on where you were."
)


def confirm_before_ending(
    visitor: Visitor, action_text: str, act: Callable[[Visitor], Any]
) -> None:
    """Do what ends the running episode; whoever has taken a step in it is asked before.

    Raises:
        ConfirmationRequired: there is something to lose.
    """
    if visitor.is_done or not (visitor.step_count or visitor.report_rows):
        act(visitor)
        return
    text = (
        f"You are at step {visitor.step_count} of an episode. {action_text} ends it without a "
        "score."
    )
    raise ConfirmationRequired(text, "End it", act)


@dataclass(frozen=True)
class View:
    """A piece of HTML that shows one side of a visitor's play.

    Attributes:
        component: of Gradio.
        render: its HTML; empty for nothing.
    """

    component: gr.HTML
    render: Callable[[EnvironmentView, Visitor], str]


@dataclass
class Page:
    """What the tabs share while the page is built.

    Attributes:
        environment_view: the environment's.
        state: holds each session's visitor.
        bridge: reports clicks on buttons inside HTML.
        views: by name; every tab adds its own.
        events: added once all views exist.
    """

    environment_view: EnvironmentView
    state: gr.State
    bridge: gr.HTML
    views: dict[str, View] = field(default_factory=dict)
    events: list[Callable[[], Any]] = field(default_factory=list)

    def add_view(
        self, name: str, render: Callable[[EnvironmentView, Visitor], str], element_id: str = ""
    ) -> None:
        """Lay out a piece of HTML that shows a visitor.

        Args:
            name: of the view.
            render: its HTML; empty for nothing.
            element_id: its id in the page; by default the name behind `mt-`.
        """
        self.views[name] = View(html_component(elem_id=element_id or f"mt-{name}"), render)

    def on_load(
        self, trigger: Callable[..., Any], handler: VisitorHandler, source: Any, js: str
    ) -> None:
        """When the page is loaded, let `act` make its visitor from what the script `js` told."""

        async def handle(visitor: Visitor, value: Any) -> list[Any]:
            return await run_for_visitor(
                visitor, self._handle_and_render, handler, value, self.views
            )

        self._add_listener(trigger, handle, [source], self.views, {"js": js})

    def on_page_event(
        self,
        trigger: Callable[..., Any],
        handler: VisitorHandler,
        changed_views: Collection[str],
        **options: Any,
    ) -> None:
        """When something is clicked, let `act` change the visitor and show some views again.

        Args:
            trigger: an event of the bridge.
            handler: takes the visitor and the value of what was clicked; an error of the package it
                raises becomes the visitor's `problem`, a `ConfirmationRequired` their `question`.
            changed_views: names of the views that may have changed; `page.views` itself for all of
                them.
            options: passed on to Gradio.

        Of clicks that come faster than they are answered the last one counts, unless
        `trigger_mode` says otherwise; Gradio alone would drop all but the first.
        """

        async def handle(visitor: Visitor, event: gr.EventData) -> list[Any]:
            require_active_visitor(visitor)
            try:
                value = event.value
            except (AttributeError, TypeError):  # not a click, but a call past the page
                value = None
            return await run_for_visitor(
                visitor, self._handle_and_render, handler, value, changed_views
            )

        self._add_listener(
            trigger, handle, (), changed_views, {"trigger_mode": "always_last", **options}
        )

    def _handle_and_render(
        self, visitor: Visitor, handler: VisitorHandler, value: Any, changed_views: Collection[str]
    ) -> list[Any]:
        try:
            visitor.problem = ""
            handler(visitor, value)
        except ConfirmationRequired as asked:
            visitor.pending_confirmation = asked.with_traceback(None)
        except KitError as problem:
            visitor.problem = str(problem)
        return [
            visitor,
            *(self.views[name].render(self.environment_view, visitor) for name in changed_views),
        ]

    def _add_listener(
        self,
        trigger: Callable[..., Any],
        handle: Callable[..., Any],
        inputs: Sequence[Any],
        changed_views: Collection[str],
        options: dict[str, Any],
    ) -> None:
        def listen() -> None:
            changed = [self.views[name].component for name in changed_views]
            # Gradio's page tells every component on which some event has ever shown its progress
            # about each stage of every other event, and searches the tree of components for it.
            settings = {**PRIVATE_EVENT_OPTIONS, "show_progress_on": self.bridge, **options}
            trigger(handle, [self.state, *inputs], [self.state, *changed], **settings)

        self.events.append(listen)


async def run_for_visitor(
    visitor: Visitor, work: Callable[..., list[Any]], *more: Any
) -> list[Any]:
    """Call `work` in a thread: a visitor's calls one after the other, none for one who left.

    Raises:
        gr.Error: the visitor left before it was begun.
    """
    async with visitor.lock:
        if visitor.is_disconnected:
            raise gr.Error("Nobody is there to read the answer.", print_exception=False)
        return await to_thread.run_sync(work, visitor, *more, limiter=VISITOR_THREADS)


def require_active_visitor(visitor: Visitor) -> None:
    """Stop a visitor who was forgotten from going on in a state that is not theirs.

    Raises:
        gr.Error: the page was not loaded for this visitor.
    """
    if not visitor.is_page_loaded:
        raise gr.Error(
            SESSION_EXPIRED_TEXT, duration=None, title="Forgotten", print_exception=False
        )


def html_component(value: str = "", **options: Any) -> gr.HTML:
    """HTML without Gradio's own prose styles and padding."""
    return gr.HTML(value, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


DOWNLOAD_JS = """([name, text]) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def add_download(button: gr.Button, state: gr.State, make_file: Callable[[Any], list[str]]) -> None:
    """Let a button save a file that is made on demand; `make` returns its name and its text."""
    file = gr.JSON(visible=False)

    async def save(visitor: Visitor) -> list[Any]:
        require_active_visitor(visitor)
        return await run_for_visitor(visitor, make_file)

    made = button.click(save, state, file, **PRIVATE_EVENT_OPTIONS)
    made.then(None, file, js=DOWNLOAD_JS, api_visibility="private")
