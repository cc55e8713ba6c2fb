"""Builds the first screen: a description of the environment, a finished example and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from openenv_kit.page.components.elements import button_html
from openenv_kit.page.environment_view import EnvironmentView


def first_screen_html(environment_view: EnvironmentView, environment_titles: Sequence[str]) -> str:
    """Return the first screen of an environment.

    Args:
        environment_view: view of the environment, with the texts and the example.
        environment_titles: titles of all environments of the server.
    """
    paragraphs = "".join(f"<p>{escape(each)}</p>" for each in environment_view.sentences)
    buttons = (
        button_html("next_episode", "", "Play an easy episode", css_class="primary")
        + button_html("open_tab", "runs", "See how a model played")
        + button_html("open_tab", "connect", "Connect your agent")
    )
    example = environment_view.example_html
    picture = ""
    if example:
        caption = escape(environment_view.example_caption)
        picture = (
            f'<div class="mt-example"><p class="mt-caption">{caption}</p>'
            f"<div inert>{example}</div></div>"
        )
    return (
        f'<section class="mt-first"><div class="mt-pitch"><h2>{escape(environment_view.headline)}'
        f'</h2>{paragraphs}<div class="mt-buttons">{buttons}</div>'
        f"{_environments_sentence_html(environment_titles)}</div>{picture}</section>"
    )


def _environments_sentence_html(titles: Sequence[str]) -> str:
    """Return a sentence that lists all environments; empty if there is only one."""
    numbers = {2: "two", 3: "three", 4: "four", 5: "five"}
    count = len(titles)
    if count < 2:
        return ""
    text = f"One of {numbers.get(count, str(count))} environments: {', '.join(titles)}."
    return f'<p class="mt-hint">{escape(text)}</p>'
