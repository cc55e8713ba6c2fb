"""`python -m benchmarks.screens FOLDER`: takes screenshots of every tab of the debugger.

The page of each environment is shown as it opens, and in an episode played with the guide, at three
widths, in the light and the dark theme. With `--docs`, the pictures that the documentation shows
are also written to `docs/assets`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageChops
from playwright.sync_api import Page, sync_playwright

from benchmarks.page import CHROMIUM, CHROMIUM_FLAGS, serve_page

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (390, 1400, 1920)
THEMES = ("light", "dark")
SCREEN_HEIGHT_PX = 900
ENVIRONMENTS = ("metric_tracker_rl", "drilldown", "firewatch")
PLAY_BUTTON, SUGGEST_BUTTON = "#mt-first [data-mt=next_episode]", "[data-mt=suggest]"
ROLLOUT_LINK = ".mt-runs-rows a"
TAB_SELECTOR = "#mt-tabs > .tab-wrapper [role=tab]"
SET_DARK_SCRIPT = "dark => document.body.classList.toggle('dark', dark)"
DOCS_PICTURES = {
    "metric_tracker_rl-opening-1400-light": "debugger-opening",
    "metric_tracker_rl-rollout-1400-dark": "debugger-runs",
    "firewatch-opening-1400-dark": "debugger-incident",
}
"""Names of the pictures in the documentation, by the screenshot that each is made from."""
MAX_PICTURE_BYTES = 200_000
"""Maximum size of a picture in the documentation."""
MARGIN_PX = 16
"""Empty pixels below the content in a picture of the documentation."""
SETTLE_MS = 800
"""Wait for animations after an action on the page."""


def _open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).first.click()
    page.wait_for_timeout(SETTLE_MS)


def _click_each(page: Page, *selectors: str) -> None:
    for selector in selectors:
        page.locator(selector).first.click()
        page.wait_for_timeout(SETTLE_MS)


def _start_episode_and_suggest_step(page: Page) -> None:
    _click_each(page, PLAY_BUTTON, SUGGEST_BUTTON)


def take_screenshots(
    folder: Annotated[Path, typer.Argument(help="Folder to write the pictures to.")],
    docs: Annotated[bool, typer.Option(help="Also write the docs' pictures.")] = False,
) -> None:
    """Take a screenshot of every tab of every environment's page, and of a rollout."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        for environment in ENVIRONMENTS:
            with serve_page(ROOT, environment) as url:
                page = browser.new_page(viewport={"width": 1400, "height": SCREEN_HEIGHT_PX})
                page.goto(url)
                page.wait_for_selector(PLAY_BUTTON)
                page.wait_for_timeout(SETTLE_MS)
                _take_screenshots_of_tab(page, f"{environment}-opening", folder)
                _start_episode_and_suggest_step(page)
                for tab in page.locator(TAB_SELECTOR).all_inner_texts():
                    _open_tab(page, tab)
                    _take_screenshots_of_tab(page, f"{environment}-{tab.lower()}", folder)
                _open_tab(page, "Runs")
                _click_each(page, ROLLOUT_LINK)
                _take_screenshots_of_tab(page, f"{environment}-rollout", folder)
                page.close()
        browser.close()
    if docs:
        for source, name in DOCS_PICTURES.items():
            target = ROOT / "docs" / "assets" / f"{name}.png"
            target.write_bytes(crop_and_compress((folder / f"{source}.png").read_bytes()))


def _take_screenshots_of_tab(page: Page, name: str, folder: Path) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": SCREEN_HEIGHT_PX})
        for theme in THEMES:
            page.evaluate(SET_DARK_SCRIPT, theme == "dark")
            page.evaluate("window.scrollTo(0, 0)")
            page.wait_for_timeout(SETTLE_MS)
            page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)


def crop_and_compress(picture: bytes) -> bytes:
    """Return the upper part of a picture, without empty space below its content.

    The number of colours is reduced until the picture has less than `MAX_PICTURE_BYTES`.
    """
    whole = Image.open(io.BytesIO(picture)).convert("RGB")
    blank = Image.new("RGB", whole.size, whole.getpixel((0, whole.height - 1)))
    *_, bottom = ImageChops.difference(whole, blank).getbbox() or (0, 0, 0, SCREEN_HEIGHT_PX)
    cropped = whole.crop(
        (0, 0, whole.width, min(whole.height, SCREEN_HEIGHT_PX + 100, bottom + MARGIN_PX))
    )
    for colours in (256, 128, 64, 32):
        stream = io.BytesIO()
        cropped.quantize(colours).save(stream, "PNG", optimize=True)
        if stream.tell() < MAX_PICTURE_BYTES:
            break
    return stream.getvalue()


if __name__ == "__main__":
    typer.run(take_screenshots)
