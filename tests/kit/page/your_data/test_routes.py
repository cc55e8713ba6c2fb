"""Routes of the tab "Your data": who may upload, limits, refusals, and that numbers stay inside."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.own_data.import_process import ImportStage
from openenv_kit.page.your_data import import_child, routes, uploaded_table
from openenv_kit.page.your_data.import_child import IMPORT_SLOT
from openenv_kit.serving.app import build_app
from openenv_kit.serving.logs import JsonFormatter
from openenv_kit.serving.message_limits import MAX_TABLE_BYTES
from openenv_kit.serving.settings import Settings, may_import_tables
from support.own_tables import FORMS, MALFORMED, build_daily_csv

pytest.importorskip("duckdb")
pytestmark = pytest.mark.slow  # each check starts a process

TOKEN = "trainer-token-0123456789"
TRAINER = {"Authorization": f"Bearer {TOKEN}"}
PLAYER = {"Authorization": "Bearer player-token-0123456789"}
MARKUP = "<img src=x onerror=alert(1)>"
OpenClient = Callable[..., TestClient]


@pytest.fixture
def open_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenClient]:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    clients: list[TestClient] = []

    def open_with(**settings: Any) -> TestClient:
        stored = {
            "episode_store": str(tmp_path / "store.db"),
            "data_folder": str(tmp_path / "data"),
        }
        app = build_app(Settings.model_validate({**stored, **settings}), ENVIRONMENT)
        client = TestClient(app).__enter__()
        clients.append(client)
        return client

    yield open_with
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(open_client: OpenClient) -> TestClient:
    return open_client(token=TOKEN, player_token="player-token-0123456789")


def check(
    client: TestClient, body: bytes, name: str = "shop.csv", options: str = "", **headers: str
) -> httpx.Response:
    sent = {"x-table-name": quote(name), "x-table-options": quote(options), **TRAINER, **headers}
    return client.post("/web/own-data/check", content=body, headers=sent)


def last_line(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    line: dict[str, Any] = json.loads(response.text.splitlines()[-1])
    return line


def post(client: TestClient, path: str, key: str, **headers: str) -> httpx.Response:
    return client.post(f"/web/own-data/{path}", headers={"x-table-key": key, **TRAINER, **headers})


@pytest.mark.parametrize("path", ["check", "import", "file", "discard"])
def test_routes_need_the_trainers_token(client: TestClient, path: str) -> None:
    assert client.post(f"/web/own-data/{path}").status_code == 401
    assert client.post(f"/web/own-data/{path}", headers=PLAYER).status_code == 403


def test_upload_of_another_sites_page_is_refused(client: TestClient) -> None:
    answer = check(client, build_daily_csv(), Origin="https://example.com")
    assert answer.status_code == 403
    assert "Pages of 'https://example.com'" in answer.json()["detail"]


def test_import_without_token_needs_the_setting(open_client: OpenClient) -> None:
    refused = check(open_client(), build_daily_csv())
    assert refused.status_code == 403
    assert "OPENENV_KIT_TOKEN" in refused.json()["detail"]
    assert "html" in last_line(check(open_client(own_data=True), build_daily_csv()))


def test_imports_are_off_with_several_workers() -> None:
    assert may_import_tables(Settings.model_validate({"token": TOKEN}))
    assert not may_import_tables(Settings.model_validate({"token": TOKEN, "workers": 2}))


def test_table_of_20_mb_is_read_and_a_larger_one_is_refused(client: TestClient) -> None:
    def iter_chunks(size: int) -> Iterator[bytes]:
        for start in range(0, size, 1 << 20):
            yield b"x" * min(1 << 20, size - start)

    headers = {"x-table-name": "large.csv", **TRAINER}
    address = "/web/own-data/check"
    fits = client.post(address, content=iter_chunks(MAX_TABLE_BYTES), headers=headers)
    assert "refused" in last_line(fits)
    too_large = client.post(address, content=iter_chunks(MAX_TABLE_BYTES + 1), headers=headers)
    assert too_large.status_code == 413
    announced = client.post(address, content=b"x" * (MAX_TABLE_BYTES + 1), headers=headers)
    assert announced.status_code == 413
    assert IMPORT_SLOT.acquire(blocking=False)
    IMPORT_SLOT.release()


def test_other_routes_keep_their_size_limit(client: TestClient) -> None:
    for path in ("/web/own-data/import", "/reset"):
        answer = client.post(path, content=b"x" * (2 << 20), headers=TRAINER)
        assert answer.status_code == 413


def test_file_of_another_kind_is_refused(client: TestClient) -> None:
    answer = check(client, b"x", name="shop.xlsx")
    assert answer.status_code == 415
    assert ".parquet" in answer.json()["detail"]


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_file_gets_the_importers_message(client: TestClient, kind: str) -> None:
    name = "table.parquet" if kind == "wrong_parquet" else "table.csv"
    refused = last_line(check(client, MALFORMED[kind], name=name))["refused"]
    assert "This table was not imported" in refused
    assert "What fits: counts of two to eight stages" in refused
    assert "unexpected" not in refused
    assert "stopped before" not in refused
    assert str(uploaded_table.FOLDER_PREFIX) not in refused


def test_option_is_applied_and_an_option_that_reads_a_file_is_refused(client: TestClient) -> None:
    table = build_daily_csv()
    html = last_line(check(client, table, options="--stages visits,orders"))["html"]
    assert ">carts<" not in html
    for options, reason in (
        ("--sql 'select 1'", "--sql reads another file"),
        ("--calendar /etc/hostname", "--calendar reads another file"),
        ("--nonsense", "--nonsense"),
        ("--stages 'a", "The options are wrong"),
    ):
        assert reason in last_line(check(client, table, options=options))["refused"]


def test_table_is_checked_again_with_other_options_without_a_second_upload(
    client: TestClient,
) -> None:
    first = last_line(check(client, build_daily_csv(), options="--stages visits,nothing"))
    assert "nothing" in first["refused"]
    again = check(client, b"", options="--stages visits,orders", **{"x-table-key": first["key"]})
    assert last_line(again)["key"] == first["key"]
    assert "html" in last_line(again)


def test_commands_after_an_import_have_the_file_name_and_the_options_of_the_check(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "--stages visits,orders --late-days 3"
    name = "my shop é.csv"
    checked = last_line(check(client, build_daily_csv(), name=name, options=options))
    requests: list[Mapping[str, Any]] = []

    async def keep_request(request: Mapping[str, Any], _: Path) -> AsyncIterator[dict[str, str]]:
        requests.append(request)
        yield {"refused": "not run"}

    monkeypatch.setattr(routes, "iter_child_messages", keep_request)
    last_line(post(client, "import", checked["key"]))
    (request,) = requests
    assert request["table_words"] == [name, "--stages", "visits,orders", "--late-days", "3"]


def test_markup_in_names_and_cells_is_escaped(client: TestClient) -> None:
    stage = f"visits {MARKUP}"
    html = last_line(check(client, build_daily_csv(stage), name=f"{MARKUP}.csv"))["html"]
    cell = build_daily_csv().replace(b"4000", MARKUP.encode())
    refused = last_line(check(client, cell))["refused"]
    assert "&lt;img" in html
    assert "&lt;img" in refused
    assert "<img" not in html + refused


def test_second_import_is_told_that_another_one_is_running(client: TestClient) -> None:
    with IMPORT_SLOT:
        answer = check(client, build_daily_csv())
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("Another import is running")


def test_import_that_takes_too_long_is_stopped(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(import_child.MAX_DURATION_S, ImportStage.CHECK, 0.01)
    assert "took longer than" in last_line(check(client, build_daily_csv()))["refused"]


def test_deleted_table_is_forgotten_with_its_file(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    key = last_line(check(client, build_daily_csv()))["key"]
    assert list(tmp_path.glob(f"{uploaded_table.FOLDER_PREFIX}*/shop.csv"))
    assert post(client, "discard", key).status_code == 204
    assert not list(tmp_path.glob(f"{uploaded_table.FOLDER_PREFIX}*"))
    assert post(client, "import", key).status_code == 404
    assert check(client, b"", **{"x-table-key": key}).status_code == 404


def test_file_is_deleted_after_its_lifetime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(uploaded_table, "FILE_LIFETIME_S", 0.01)
    table = uploaded_table.UploadedTable("shop.csv")
    table._timer.join()
    assert not table.folder.exists()
    assert uploaded_table.FILE_LIFETIME_S < 600


def format_record(record: logging.LogRecord) -> str:
    return JsonFormatter().format(record)


def test_planted_number_is_in_no_log_metric_or_stored_byte(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result = last_line(check(client, build_daily_csv()))
    assert b"7,654,321" in result["html"].encode()  # the visitor sees it
    last_line(check(client, build_daily_csv().replace(b"4000", b"7654321x")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "table_check_html", fail_with_number)
        failed = last_line(check(client, build_daily_csv()))
    assert "unexpected ValueError" in failed["refused"]
    logged = "".join(map(format_record, caplog.records))
    logged += client.get("/metrics", headers=TRAINER).text + json.dumps(failed)
    assert "/web/own-data/check" in logged
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files)
    assert files
    assert [form for form in FORMS if form in logged.encode() + stored] == []
    assert result["key"] not in logged


def fail_with_number(*_: object) -> str:
    raise ValueError("wrong count 7654321")
