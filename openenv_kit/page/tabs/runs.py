"""Builds the Runs tab of the debugger, which lists, shows and compares recorded rollouts.

The scripts in `static/runs` fill the tab with data from the routes in `runs_app.py`. The tab does
not use the visitor's state, so a URL shows the same view in every browser.
"""

from __future__ import annotations

from html import escape

from openenv_kit.page.components.elements import heading_html
from openenv_kit.page.events import unstyled_html_component

SUBTITLE = "Recorded rollouts: one episode by one player. Open one to see why it got its score."
RECORD_COMMAND = "OPENENV_KIT_RUNS=runs uv run server\nuv run python inference.py --record runs"
FILTER_TITLES = {"player": "Player", "level": "Level", "score": "Score", "outcome": "Outcome"}
KEYS = {
    "j or →": "next step",
    "k or ←": "previous step",
    "e": "next rejected call",
    "n / p": "next rollout / previous rollout",
    "c": "compare",
    "y": "copy the link",
    "/": "search the list",
    "Esc": "back to the list",
    "?": "show these keys",
}
LOAD_SCRIPT = """
import(new URL('runs/static/main.js', document.baseURI.split(/[?#]/)[0]))
  .then((runs) => runs.start(element.querySelector('#mt-runs')));
"""


def build_runs_tab() -> None:
    """Build the Runs tab."""
    unstyled_html_component(runs_tab_html(), js_on_load=LOAD_SCRIPT)


def runs_tab_html() -> str:
    """Return the HTML that the tab's scripts fill."""
    return f'<div id="mt-runs">{_list_html()}{_open_rollouts_html()}{_keys_dialog_html()}</div>'


def _list_html() -> str:
    filters = "".join(
        f'<label>{title}<select name="{name}"><option value="">all</option></select></label>'
        for name, title in FILTER_TITLES.items()
    )
    return (
        f'<section class="mt-runs-list">{heading_html("Runs", SUBTITLE)}'
        f'<div class="mt-runs-filters">{filters}'
        '<label>Search<input type="search" name="search" placeholder="player, task, file"></label>'
        '<label class="check"><input type="checkbox" name="tasks">By task</label>'
        '<span class="mt-runs-actions"><span class="mt-runs-count" role="status"></span>'
        f"{_button_html('compare', 'Compare', is_disabled=True)}"
        f"{_button_html('files', 'Open files')}{_button_html('folder', 'Open a folder')}"
        "</span></div>"
        '<input type="file" accept=".jsonl,.gz" multiple hidden>'
        '<input type="file" webkitdirectory hidden>'
        '<p class="mt-runs-reading" role="status" aria-live="polite"></p>'
        '<div class="mt-runs-summary"></div>'
        '<div class="mt-runs-table"><p class="mt-runs-loading">Reading the list …</p></div>'
        f'<div class="mt-runs-problems"></div>{_no_rollouts_template_html()}</section>'
    )


def _no_rollouts_template_html() -> str:
    return (
        '<template class="mt-runs-none"><div class="mt-runs-empty"><h3>No rollouts yet</h3>'
        "<p>Start the server with a folder for recordings, then record a model:</p>"
        f"<pre>{escape(RECORD_COMMAND)}</pre><p>All trainer adapters also accept "
        "<code>record=DIR</code>. You can also open recordings from your computer.</p></div>"
        "</template>"
    )


def _open_rollouts_html() -> str:
    return (
        '<section class="mt-runs-open" hidden><div class="mt-runs-bar">'
        f"{_button_html('back', '← All rollouts')}"
        f"{_button_html('previous', '↑ Previous', 'Previous rollout (p)')}"
        f"{_button_html('next', '↓ Next', 'Next rollout (n)')}"
        f'<span class="mt-runs-stepper">{_button_html("earlier", "‹", "Previous step (k)")}'
        '<span class="mt-runs-slide"><input type="range" name="step" min="0" value="0" '
        'aria-label="Step"><span class="mt-runs-marks" aria-hidden="true"></span></span>'
        f"{_button_html('later', '›', 'Next step (j)')}"
        '<span class="mt-runs-at" role="status" aria-live="polite"></span></span>'
        f"{_button_html('error', 'Next error', 'Next rejected call (e)')}"
        '<label class="compare">Compare with<select name="with"></select></label>'
        f"{_button_html('copy', 'Copy link')}{_button_html('keys', '?', 'Keys')}</div>"
        '<p class="mt-runs-difference" hidden></p><div class="mt-runs-panes"></div></section>'
    )


def _keys_dialog_html() -> str:
    rows = "".join(
        f"<div><dt><kbd>{escape(key)}</kbd></dt><dd>{escape(text)}</dd></div>"
        for key, text in KEYS.items()
    )
    return (
        f'<dialog class="mt-runs-keys" aria-label="Keys"><h3>Keys</h3><dl>{rows}</dl>'
        '<form method="dialog"><button class="mt-btn primary">Close</button></form></dialog>'
    )


def _button_html(name: str, label: str, hint: str = "", *, is_disabled: bool = False) -> str:
    more = f' title="{escape(hint)}" aria-label="{escape(hint)}"' if hint else ""
    more += " disabled" if is_disabled else ""
    return f'<button type="button" class="mt-btn" name="{name}"{more}>{escape(label)}</button>'
