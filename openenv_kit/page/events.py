"""Views and event handlers of the page.

A view renders a part of a visitor's state, and an event handler changes this state. Each handler
receives the visitor of its own Gradio session, so it cannot access another visitor.
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
"""Function that changes a visitor's state. Its return value is ignored."""

FilenameAndText = list[str]
"""Filename and content of a download. It is a list, because Gradio sends it as JSON."""

PRIVATE_EVENT_OPTIONS: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
}
"""Gradio options that hide an event from the API and disable progress bar and concurrency limit."""
VISITOR_THREADS = CapacityLimiter(40)
"""Limiter of the number of handlers that run at the same time. The limit is Gradio's default."""
SESSION_EXPIRED_TEXT = (
    "Your session expired, or the server restarted. Reload the page to continue: your episode is "
    "saved in this browser."
)


def run_or_ask_before_ending_episode(
    visitor: Visitor, action_text: str, action: Callable[[Visitor], Any]
) -> None:
    """Run an action that ends the running episode, or request confirmation first.

    Args:
        visitor: visitor who requested the action.
        action_text: subject of the confirmation text, such as "Starting another one".
        action: function to call with the visitor.

    Raises:
        ConfirmationRequired: the visitor has taken a step or entered a row in a running episode.
    """
    has_own_steps = visitor.step_count > visitor.opening_step_count
    if visitor.is_done or not (has_own_steps or visitor.report_rows):
        action(visitor)
        return
    text = (
        f"You are at step {visitor.step_count} of an episode. {action_text} ends it without a "
        "score."
    )
    raise ConfirmationRequired(text, "End it", action)


@dataclass(frozen=True)
class View:
    """A piece of HTML that shows a part of a visitor's state.

    Attributes:
        component: Gradio component that contains the HTML.
        render: function that returns the HTML; empty if there is nothing to show.
    """

    component: gr.HTML
    render: Callable[[EnvironmentView, Visitor], str]


@dataclass
class Page:
    """Builder that collects the views and event listeners of the page.

    Attributes:
        environment_view: view of the environment.
        state: Gradio state with the visitor of each session.
        bridge: component whose script sends clicks on HTML buttons to Python.
        views: views by name; every tab adds its own.
        events: functions that add the event listeners; called once all views exist.
    """

    environment_view: EnvironmentView
    state: gr.State
    bridge: gr.HTML
    views: dict[str, View] = field(default_factory=dict)
    events: list[Callable[[], Any]] = field(default_factory=list)

    def add_html_view(
        self, name: str, render: Callable[[EnvironmentView, Visitor], str], element_id: str = ""
    ) -> None:
        """Add a view at the current position of the layout.

        Args:
            name: name of the view.
            render: returns the view's HTML; empty if there is nothing to show.
            element_id: id of the HTML element. The default is `mt-` followed by the name.
        """
        self.views[name] = View(unstyled_html_component(elem_id=element_id or f"mt-{name}"), render)

    def add_load_handler(
        self,
        trigger: Callable[..., Any],
        handler: VisitorHandler,
        js_value_component: Any,
        read_value_js: str,
    ) -> None:
        """Call a handler when the page is loaded, with the value that the script `js` returns."""

        async def handle_load(visitor: Visitor, value: Any) -> list[Any]:
            return await run_in_thread_one_at_a_time(
                visitor, self._handle_and_render, handler, value, self.views
            )

        self._queue_listener_until_build_ends(
            trigger, handle_load, [js_value_component], self.views, {"js": read_value_js}
        )

    def add_page_event_handler(
        self,
        trigger: Callable[..., Any],
        handler: VisitorHandler,
        changed_views: Collection[str],
        **options: Any,
    ) -> None:
        """Call a handler when an element of the page is clicked, and render some views again.

        If several clicks arrive while the handler is running, only the last one is handled
        afterwards. Gradio's default is to drop all of them; the option `trigger_mode` changes this.

        Args:
            trigger: event of the bridge.
            handler: called with the visitor and the value of the clicked element. A KitError is
                stored as the visitor's `problem`, and a ConfirmationRequired as
                `pending_confirmation`.
            changed_views: names of the views to render; `page.views` for all.
            options: further options of the Gradio event.
        """

        async def handle_event(visitor: Visitor, event: gr.EventData) -> list[Any]:
            require_unexpired_visitor_state(visitor)
            is_repeated = visitor.has_handled_event(_read_event_field(event, "number"))
            return await run_in_thread_one_at_a_time(
                visitor,
                self._handle_and_render,
                _ignore_event if is_repeated else handler,
                _read_event_field(event, "value"),
                changed_views,
            )

        self._queue_listener_until_build_ends(
            trigger, handle_event, (), changed_views, {"trigger_mode": "always_last", **options}
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

    def _queue_listener_until_build_ends(
        self,
        trigger: Callable[..., Any],
        handle: Callable[..., Any],
        inputs: Sequence[Any],
        changed_views: Collection[str],
        options: dict[str, Any],
    ) -> None:
        def add_listener() -> None:
            changed = [self.views[name].component for name in changed_views]
            # Progress is shown on the bridge only. Otherwise Gradio would notify each component
            # that has ever shown progress about every stage of every other event.
            settings = {**PRIVATE_EVENT_OPTIONS, "show_progress_on": self.bridge, **options}
            trigger(handle, [self.state, *inputs], [self.state, *changed], **settings)

        self.events.append(add_listener)


def _read_event_field(event: gr.EventData, name: str) -> object:
    """Return a field of an event; None if the request was not sent by the page."""
    try:
        field: object = getattr(event, name)
    except (AttributeError, TypeError):
        return None
    return field


def _ignore_event(visitor: Visitor, value: object) -> None:
    """Handle a request that the browser has sent twice."""


async def run_in_thread_one_at_a_time(
    visitor: Visitor, function: Callable[..., list[Any]], *arguments: Any
) -> list[Any]:
    """Call a function with a visitor in a worker thread.

    Functions for the same visitor run one at a time.

    Raises:
        gr.Error: the visitor disconnected before the function was started.
    """
    async with visitor.lock:
        if visitor.is_disconnected:
            # A page that is still open reads this text in `connection.js` and loads itself again.
            raise gr.Error(
                "The page was closed before the request finished.", print_exception=False
            )
        return await to_thread.run_sync(function, visitor, *arguments, limiter=VISITOR_THREADS)


def require_unexpired_visitor_state(visitor: Visitor) -> None:
    """Raise an error if the session of the page that sent an event has expired.

    Raises:
        gr.Error: the visitor's state was discarded.
    """
    if not visitor.is_page_loaded:
        raise gr.Error(
            SESSION_EXPIRED_TEXT, duration=None, title="Session expired", print_exception=False
        )


def unstyled_html_component(html: str = "", **options: Any) -> gr.HTML:
    """Return a Gradio HTML component without Gradio's text styles and padding."""
    return gr.HTML(html, apply_default_css=False, padding=False, elem_classes="mt-html", **options)


DOWNLOAD_JS = """([name, text]) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
  document.dispatchEvent(new CustomEvent('mt-file-saved', { detail: name }));
}"""


def add_download(
    trigger: Callable[..., Any],
    state: gr.State,
    create_file: Callable[[Visitor], FilenameAndText],
) -> None:
    """Download a file that is created when an event is triggered, such as `button.click`."""
    file = gr.JSON(visible=False)

    async def create_file_for_visitor(visitor: Visitor) -> list[Any]:
        require_unexpired_visitor_state(visitor)
        return await run_in_thread_one_at_a_time(visitor, create_file)

    click = trigger(create_file_for_visitor, state, file, **PRIVATE_EVENT_OPTIONS)
    click.then(None, file, js=DOWNLOAD_JS, api_visibility="private")
