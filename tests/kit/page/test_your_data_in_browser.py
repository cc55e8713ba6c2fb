"""The tab "Your data" in a browser: from an upload to a played episode, refusals and markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from support.browser import CUT_OFF, Visit, WebServer, web_server
from support.own_tables import build_daily_csv

pytest.importorskip("duckdb")
pytestmark = [pytest.mark.slow, pytest.mark.browser]

OpenVisit = Callable[..., Visit]
IMPORT_MS = 240_000
MARKUP = "<img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("own")
    with web_server(folder / "log", OPENENV_KIT_OWN_DATA="on") as started:
        yield started


def upload(mine: Visit, path: Path) -> None:
    mine.page.set_input_files("#mt-own [name=table]", path)
    mine.page.wait_for_function(
        "document.querySelector('#mt-own [name=import]').disabled === false"
        " && (document.querySelector('[data-step=check] .mt-own-file')"
        " || document.querySelector('.mt-own-problem').textContent)",
        timeout=IMPORT_MS,
    )


def test_table_is_uploaded_checked_imported_played_and_investigated(
    visit: OpenVisit, server: WebServer, tmp_path: Path
) -> None:
    table = tmp_path / "shop.csv"
    table.write_bytes(build_daily_csv(has_planted_count=False))
    mine = visit(url=server.url)
    mine.tab("Your data")
    assert mine.page.url.endswith("?tab=your-data")
    upload(mine, table)
    mine.sees("[data-step=check]", "98, from 2024-01-01 to 2024-04-07")
    assert mine.barriers() == []
    mine.page.click("#mt-own [name=import]")
    mine.sees(".mt-own-status", "Certifying episodes")
    expect(mine.page.locator("[data-step=product]")).to_be_visible(timeout=IMPORT_MS)
    with mine.page.expect_download() as download:
        mine.page.click("[data-file=product]")
    assert download.value.suggested_filename == "shop.toml"
    assert 'name = "shop"' in download.value.path().read_text()
    assert mine.barriers() == []
    mine.page.locator("[data-step=product] [data-mt=play_product]").first.click()
    mine.sees("#mt-status", "shop · ")
    mine.sees("#mt-picture", "visits → carts")
    assert "seed" not in mine.page.url
    mine.page.click("[data-mt=suggest]")
    mine.tab("Your data")
    mine.page.click("[data-mt=investigate_table]")
    mine.sees("#mt-status", "Your table")
    assert mine.page.evaluate("Object.keys(sessionStorage)") == []
    log = server.log.read_text()
    assert "x-table" not in log
    assert "Traceback" not in log


def test_refusal_is_shown_next_to_the_upload_and_markup_is_not_run(
    visit: OpenVisit, server: WebServer, tmp_path: Path
) -> None:
    mine = visit(url=server.url, path="/web/?tab=your-data", width=390)
    bad = tmp_path / "bad.csv"
    bad.write_bytes(build_daily_csv().replace(b"4000", MARKUP.encode()))
    upload(mine, bad)
    mine.sees(".mt-own-problem", MARKUP[:20])
    good = tmp_path / f"{MARKUP}.csv"
    good.write_bytes(build_daily_csv(f"visits {MARKUP}"))
    upload(mine, good)
    mine.sees("[data-step=check] .mt-own-file", MARKUP)
    assert mine.page.title() != "run"
    assert mine.page.evaluate(CUT_OFF) == []
    mine.page.click("#mt-own [name=discard]")
    mine.sees(".mt-own-status", "The upload was deleted")
