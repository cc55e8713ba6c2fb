"""The debugger below a path prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.browser import Visit, WebServer, web_server

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("prefix")
    variables = {
        "OPENENV_KIT_ROOT_PATH": "/lab/env",
        "OPENENV_KIT_EPISODE_STORE": str(folder / "s.db"),
    }
    with web_server(folder / "log", **variables) as server:
        yield server


def test_page_below_a_prefix_plays_and_leads_to_the_other_environments(
    prefixed: WebServer, visit: Callable[..., Visit]
) -> None:
    mine = visit(width=1400, url=prefixed.url, path="/lab/env/web/")
    mine.click("#mt-first .mt-btn.primary")
    mine.sees(".mt-budget", "3 of")
    mine.click("#mt-ask [data-mt=ask]")
    mine.sees(".mt-budget", "4 of")
    assert '"transport": "page"' in prefixed.log.read_text()
    doors = mine.page.eval_on_selector_all("a.mt-door", "all => all.map((each) => each.href)")
    assert doors
    assert all(door.startswith(f"{prefixed.url}/lab/env/") for door in doors)
