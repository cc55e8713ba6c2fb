"""After the end: what the reference does in the same episode, beside what the visitor did."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.errors import ConfigurationError
from openenv_kit.page.layout import html
from openenv_kit.page.markup import heading
from openenv_kit.page.page import Page
from openenv_kit.page.state import Visitor
from openenv_kit.page.watching import Frame, scripted

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

REFERENCE = "reference"


def lay_out(name: str) -> tuple[gr.Button, gr.HTML]:
    """The button, hidden until the episode is over, and where both plays are shown."""
    button = gr.Button("Reveal the reference's play", visible=False, elem_id=f"{name}-reveal")
    return button, html(elem_id=f"{name}-revealed")


def wire(page: Page, button: gr.Button, view: str, shown: Any) -> None:
    """Make the button work; `view` shows what `show` returns."""
    page.on(button.click, reveal, (), ["status", view], wait_on=[shown])


def show(scenes: Scenes, visitor: Visitor) -> Sequence[Any]:
    """Values of what `lay_out` returned."""
    over, frames = visitor.session.done, visitor.revealed
    told = scenes.beside_html(visitor, frames) if frames else ""
    return [gr.update(visible=over and not frames), told]


def reveal(visitor: Visitor) -> None:
    """Let the reference play the visitor's episode, once that is over.

    Raises:
        ConfigurationError: it is not over.
    """
    if not visitor.session.done:
        raise ConfigurationError("The reference's play is revealed after the end of yours.")
    policy = visitor.environment.policies[REFERENCE]
    playback = scripted(policy, visitor.reset, visitor.environment)
    playback.run_to_end()
    visitor.revealed = playback.frames


def score_of(frames: Sequence[Frame]) -> float:
    """What a play came to."""
    return float(frames[-1].observation.get("reward") or 0.0)


def two_columns(yours: str, score: float | None, theirs: str, other: float) -> str:
    """Two plays beside each other, each under its score."""
    own = "not graded" if score is None else f"score {score:.4f}"
    return (
        '<section class="mt-two">'
        f"<div>{heading('Yours', own)}{yours}</div>"
        f"<div>{heading('The reference', f'score {other:.4f}')}{theirs}</div></section>"
    )


def moves_html(calls: Sequence[str]) -> str:
    """Calls, one a line."""
    lines = "".join(
        f"<li><b>{at}</b><div><code>{escape(call)}</code></div></li>"
        for at, call in enumerate(calls, start=1)
    )
    return f'<ol class="mt-log" tabindex="0" aria-label="Calls">{lines}</ol>'
