"""`python -m benchmarks.screens FOLDER`: every tab of the debugger as a picture, to be looked at.

Each environment's page is filled by one play (look, report, submit, reveal, watch, race) and then
taken at three widths, light and dark. With `--docs`, those that the docs show are written to
`docs/assets`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.page import CHROMIUM, FLAGS, page_of

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (390, 1400, 1920)
THEMES = ("light", "dark")
HEIGHT = 900
TABS = "#mt-tabs > .tab-wrapper [role=tab]"
SEEN = "localStorage.setItem('mt-seen', 'yes')"
DARK = "dark => document.body.classList.toggle('dark', dark)"
SHOWN = {
    "metric_tracker_rl-data-1400-light": "debugger-data",
    "metric_tracker_rl-report-1400-light": "debugger-report",
    "metric_tracker_rl-watch-1400-dark": "debugger-watch",
    "firewatch-incident-1400-dark": "debugger-incident",
}
"""Pictures of the docs, by what they are taken from."""
MOST_BYTES = 200_000
"""Largest picture of the docs."""
SETTLE_MS = 800


def _tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).first.click()
    page.wait_for_timeout(SETTLE_MS)


def _click(page: Page, *selectors: str) -> None:
    for selector in selectors:
        page.locator(selector).first.click()
        page.wait_for_timeout(SETTLE_MS)


def _choose(page: Page, selector: str, option: str) -> None:
    page.locator(selector).fill(option)
    page.keyboard.press("Enter")
    page.wait_for_timeout(SETTLE_MS)


def _race(page: Page) -> None:
    _tab(page, "Watch")
    _tab(page, "Race")
    _click(page, "#mt-race-start")


def _watch(page: Page) -> None:
    _tab(page, "Watch")
    _tab(page, "Policy")
    _click(page, "#mt-watch-policy", "#mt-end")


def _play_metric_tracker(page: Page) -> None:
    _race(page)
    _tab(page, "Investigate")
    _choose(page, "#mt-method input", "get_rate_spike_from_median_rows")
    _click(page, "#mt-run", "#mt-add-all")
    _tab(page, "Report")
    _click(page, "#mt-submit", "#mt-reveal")
    _watch(page)


def _play_firewatch(page: Page) -> None:
    _race(page)
    _tab(page, "Incident")
    _click(page, "#fw-look-run")
    _tab(page, "Declare")
    _choose(page, "#fw-declare-action input", "declare_resolved")
    _click(page, "#fw-declare-run", "#fw-reveal")
    _watch(page)


PLAYS: Mapping[str, Callable[[Page], None]] = {
    "metric_tracker_rl": _play_metric_tracker,
    "firewatch": _play_firewatch,
}


def screens(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go.")],
    docs: Annotated[bool, typer.Option(help="Also write those that the docs show.")] = False,
) -> None:
    """Take a picture of every tab of both environments' pages."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for environment, play in PLAYS.items():
            with page_of(ROOT, environment) as url:
                page = browser.new_page(viewport={"width": 1400, "height": HEIGHT})
                page.add_init_script(SEEN)
                page.goto(url)
                page.wait_for_selector("#mt-card")
                page.wait_for_timeout(SETTLE_MS)
                play(page)
                _take(page, environment, folder)
                page.close()
        browser.close()
    if docs:
        for source, name in SHOWN.items():
            target = ROOT / "docs" / "assets" / f"{name}.png"
            target.write_bytes(small((folder / f"{source}.png").read_bytes()))


def _take(page: Page, environment: str, folder: Path) -> None:
    for tab in page.locator(TABS).all_inner_texts():
        _tab(page, tab)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            for theme in THEMES:
                page.evaluate(DARK, theme == "dark")
                page.evaluate("window.scrollTo(0, 0)")
                page.wait_for_timeout(SETTLE_MS)
                name = f"{environment}-{tab.lower()}-{width}-{theme}.png"
                page.screenshot(path=folder / name, full_page=True)


def small(picture: bytes) -> bytes:
    """A picture's upper part, with as many colours as a picture of the docs has room for."""
    whole = Image.open(io.BytesIO(picture)).convert("RGB")
    shown = whole.crop((0, 0, whole.width, min(whole.height, HEIGHT + 100)))
    for colours in (256, 128, 64, 32):
        stream = io.BytesIO()
        shown.quantize(colours).save(stream, "PNG", optimize=True)
        if stream.tell() < MOST_BYTES:
            break
    return stream.getvalue()


if __name__ == "__main__":
    typer.run(screens)
