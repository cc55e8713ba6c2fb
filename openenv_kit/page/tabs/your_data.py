"""Tab "Your data": upload a table, check it, make a product, then play it or investigate the table.

The tab's script sends the file to the routes in `your_data/routes.py` and shows the HTML that they
return. If imports are disabled, the tab has no upload form.
"""

from __future__ import annotations

import json
import secrets
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.cleaned_table import WHAT_FITS
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.support import Investigation
from openenv_kit.page.begin_episode import begin_episode, make_opening_calls
from openenv_kit.page.components.elements import button_html, heading_html
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.page.events import Page, run_or_ask_before_ending_episode, unstyled_html_component
from openenv_kit.page.visitor import Visitor
from openenv_kit.page.your_data.local_page import OFFERED_INVESTIGATIONS
from openenv_kit.page.your_data.product_html import INVESTIGATE_EVENT, level_list_html
from openenv_kit.page.your_data.table_episode import InvestigationClient, investigate_last_weeks
from openenv_kit.page.your_data.uploaded_table import UploadedTable, UploadedTables
from openenv_kit.reset_arguments import PRODUCT, TABLE

MAX_SEED = 1 << 20
SUBTITLE = "Tasks that look like your own metrics."
LOAD_SCRIPT = """
import(new URL('own-data/static/main.js', document.baseURI.split(/[?#]/)[0]))
  .then((tab) => tab.start(element.querySelector('#mt-own')));
"""
COMMANDS = """pip install 'openenv-metric-tracker-rl[own-data]'
metric-tracker import shop.csv --stages visits,carts,orders
metric-tracker investigate shop.csv --product shop.toml
python inference.py --product shop.toml --level medium"""
FORGOTTEN_TEXT = "The table is no longer on this server. Import it again on the tab Your data."


@dataclass(frozen=True)
class OwnDataOptions:
    """Options of the tab, which depend on the server.

    Attributes:
        tables: uploaded tables of this process.
        may_import: whether visitors may import tables.
        connect_for_products: function that creates a client that may send a product in a reset;
            None to use the visitor's own function.
    """

    tables: UploadedTables = field(default_factory=UploadedTables)
    may_import: bool = False
    connect_for_products: Callable[[], EpisodeClient] | None = None


def build_your_data_tab(page: Page, options: OwnDataOptions) -> None:
    """Build the tab and its events.

    Args:
        page: the page.
        options: options of the tab.
    """
    view = page.environment_view
    unstyled_html_component(
        your_data_html(view, may_import=options.may_import), js_on_load=LOAD_SCRIPT
    )
    if view.environment.own_data is None:
        return

    def play_product(visitor: Visitor, value: object) -> None:
        _play_product_or_ask(view, options, visitor, _parse_choice(value))

    def investigate_table(visitor: Visitor, value: object) -> None:
        _investigate_table_or_ask(view, options, visitor, _parse_choice(value))

    page.add_page_event_handler(page.bridge.play_product, play_product, page.views)
    page.add_page_event_handler(page.bridge.investigate_table, investigate_table, page.views)


def your_data_html(environment_view: EnvironmentView, *, may_import: bool) -> str:
    """Return the tab's HTML, which its script fills."""
    heading = heading_html("Your data", SUBTITLE)
    if environment_view.environment.own_data is None:
        name = escape(environment_view.link_title)
        return (
            f'<div class="mt-own" id="mt-own">{heading}<p>{name} makes no tasks from tables. The '
            "environment Funnel does: choose it at the top right.</p></div>"
        )
    main = _offered_html() + (_upload_html() if may_import else _imports_off_html())
    side = _example_html(environment_view)
    # The wide column would be almost empty without the upload.
    main, side = (main, side + _commands_html()) if may_import else (main + _commands_html(), side)
    return (
        f'<div class="mt-own" id="mt-own">{heading}<p>{escape(WHAT_FITS)}</p>'
        f'<div class="mt-own-columns"><div class="mt-own-main">{main}</div>'
        f'<aside class="mt-own-side">{side}</aside>'
        "</div></div>"
    )


def _offered_html() -> str:
    """Return the tables that `metric-tracker investigate --play` offers; empty if none."""
    items = "".join(
        f"<p><b>{escape(offered.title)}</b></p>"
        + '<div class="mt-own-actions">'
        + button_html(
            INVESTIGATE_EVENT, json.dumps({"key": key}), "Investigate", css_class="primary"
        )
        + "</div>"
        for key, offered in OFFERED_INVESTIGATIONS.items()
    )
    return f'<section class="mt-own-step"><h3>Your table</h3>{items}</section>' if items else ""


def _upload_html() -> str:
    return (
        '<section class="mt-own-step" data-step="upload"><h3><i>1</i>Upload</h3>'
        '<label class="mt-own-drop"><input type="file" name="table" '
        'accept=".csv,.tsv,.txt,.parquet"><b>Choose a table</b>'
        "<span>or drop it here: CSV or Parquet, at most 20 MB</span></label>"
        '<div class="mt-own-options"><label>Stages, in order<input name="stages" '
        'placeholder="such as visits,carts,orders; empty if evident" autocomplete="off"></label>'
        '<label>Country of the holidays<input name="country" placeholder="such as US" '
        'autocomplete="off"></label></div>'
        '<details><summary>More options</summary><label class="mt-own-more">As for '
        '<code>metric-tracker import</code><input name="options" '
        'placeholder="such as --decimal , --late-days 3" autocomplete="off"></label></details>'
        '<div class="mt-own-actions"><button type="button" class="mt-btn primary" name="check" '
        'disabled>Check the table</button><button type="button" class="mt-btn" name="discard" '
        "hidden>Delete the upload</button></div>"
        '<div class="mt-own-running"><p class="mt-own-status" role="status" aria-live="polite"></p>'
        '<progress class="mt-own-progress" max="1" value="0" hidden '
        'aria-label="Progress"></progress><div class="mt-own-problem"></div></div>'
        '<p class="mt-hint">The file is deleted within ten minutes. Its numbers are in no log, '
        "address or recording.</p></section>"
        '<section class="mt-own-step" data-step="check" hidden><h3><i>2</i>Check</h3>'
        '<div class="mt-own-result"></div><div class="mt-own-actions"><button type="button" '
        'class="mt-btn primary" name="import">Make tasks from this table</button></div></section>'
        '<section class="mt-own-step" data-step="product" hidden><h3><i>3</i>Play</h3>'
        '<div class="mt-own-result"></div></section>'
    )


def _imports_off_html() -> str:
    return (
        '<section class="mt-own-step"><h3>Import on your own machine</h3><p>This server takes no '
        "tables. Your numbers stay with you: the commands run locally. A server that has a token "
        "takes tables on this page: start it with <code>OPENENV_KIT_TOKEN=TOKEN uv run server"
        "</code>, then open <code>/web?token=TOKEN</code>.</p></section>"
    )


def _example_html(environment_view: EnvironmentView) -> str:
    """Return the example product with a button for each level; empty if there is none."""
    product = read_example_product(environment_view)
    if product is None:
        return ""
    levels = require_own_data(environment_view.environment).list_product_levels(product)
    stages = " → ".join(str(stage) for stage in product.get("stages", ()))
    return (
        f'<section class="mt-own-step"><h3>Example: {escape(str(product["name"]))}</h3>'
        "<p>Flights from New York in 2013, by hour, as a product file with aggregates only: "
        f"{escape(stages)}.</p>{level_list_html(levels)}</section>"
    )


def _commands_html() -> str:
    return (
        '<section class="mt-own-step"><h3>Commands</h3><div class="mt-snippet"><header><p>In a '
        'terminal, with a table of your own</p><button type="button" class="mt-btn" '
        'name="copy">Copy</button></header><pre tabindex="0" role="region" '
        f'aria-label="Commands"><code>{escape(COMMANDS)}</code></pre></div></section>'
    )


def read_example_product(environment_view: EnvironmentView) -> Mapping[str, Any] | None:
    """Return the example product of an environment; None if it has none."""
    path = environment_view.example_product_file
    if path is None or not path.is_file():
        return None
    return tomllib.loads(path.read_text(encoding="utf-8"))


class _Choice(NamedTuple):
    """What a button of the tab selects: a level, and a table's key (empty for the example)."""

    key: str
    level: str


def _parse_choice(value: object) -> _Choice:
    try:
        content = json.loads(str(value))
        return _Choice(str(content["key"]), str(content.get("level", "")))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ConfigurationError(FORGOTTEN_TEXT) from None


def _require_table(options: OwnDataOptions, key: str) -> UploadedTable:
    uploaded = options.tables.find(key)
    if uploaded is None or uploaded.product is None:
        raise ConfigurationError(FORGOTTEN_TEXT)
    return uploaded


def _play_product_or_ask(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, choice: _Choice
) -> None:
    """Start a product's episode with a random seed, or request confirmation if one is running."""
    if choice.key:
        uploaded = _require_table(options, choice.key)
        content = uploaded.product.content if uploaded.product else None
    else:
        content = read_example_product(view)
    if content is None:
        raise ConfigurationError(FORGOTTEN_TEXT)
    reset = {
        PRODUCT.name: dict(content),
        "difficulty": choice.level,
        "seed": secrets.randbelow(MAX_SEED),
    }
    connect = options.connect_for_products
    run_or_ask_before_ending_episode(
        visitor, "Another episode", lambda v: begin_episode(view, v, reset, connect)
    )


def _find_investigation(view: EnvironmentView, options: OwnDataOptions, key: str) -> Investigation:
    """Return the investigation with a key: one that a command offers, or one of an imported table.

    Raises:
        ConfigurationError: the key is unknown, or the table's last weeks are not complete.
    """
    if key in OFFERED_INVESTIGATIONS:
        return OFFERED_INVESTIGATIONS[key].investigation
    uploaded = _require_table(options, key)
    if uploaded.table is None or uploaded.product is None:
        raise ConfigurationError(FORGOTTEN_TEXT)
    own_data = require_own_data(view.environment)
    return investigate_last_weeks(own_data, uploaded.table, uploaded.product.text)


def _investigate_table_or_ask(
    view: EnvironmentView, options: OwnDataOptions, visitor: Visitor, choice: _Choice
) -> None:
    """Start an episode of a table's last four weeks, or request confirmation if one is running."""
    investigation = _find_investigation(view, options, choice.key)

    def start(who: Visitor) -> None:
        reset = {TABLE.name: investigation}
        who.start_episode_through(lambda: InvestigationClient(investigation), reset)
        if who.may_read_data:
            make_opening_calls(view, who)

    run_or_ask_before_ending_episode(visitor, "Investigating the table", start)
