"""Routes of the tab "Your data" below /web/own-data: upload and check, import, download, discard.

Names, options and keys are sent in headers, because URLs are logged. The responses to an upload and
an import are streams of JSON lines that report progress and end with the result. If the visitor
disconnects, the import is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.import_process import ImportStage
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.support import SummaryLine
from openenv_kit.own_data.table_json import convert_json_to_table, convert_table_to_json
from openenv_kit.own_data.write_files import build_product_name
from openenv_kit.page.your_data.import_child import (
    IMPORT_SLOT,
    ImportFailedError,
    iter_child_messages,
)
from openenv_kit.page.your_data.product_html import product_html
from openenv_kit.page.your_data.table_html import refusal_html, table_check_html
from openenv_kit.page.your_data.uploaded_table import (
    ImportedProduct,
    UploadedTable,
    UploadedTables,
)
from openenv_kit.serving.message_limits import MAX_TABLE_BYTES

SCRIPTS_FOLDER = Path(__file__).parents[1] / "static" / "your_data"
NAME_HEADER, OPTIONS_HEADER, KEY_HEADER = "x-table-name", "x-table-options", "x-table-key"
FILE_HEADER = "x-table-file"
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
MAX_HEADER_CHARACTERS = 2000
NO_STORE = {"cache-control": "no-store"}
FORGOTTEN_TEXT = "The table is no longer on this server. Choose the file again."
NOT_ALLOWED_TEXT = (
    "This server imports no tables: it needs a token (OPENENV_KIT_TOKEN) and one worker. Use the "
    "commands on this page, or `metric-tracker investigate --play`."
)


class OwnDataRoutes:
    """Handlers of the routes.

    Args:
        environment: environment that makes tasks from tables.
        tables: uploaded tables of this process.
        may_import: whether imports are allowed on this server.
    """

    def __init__(
        self, environment: Environment, tables: UploadedTables, *, may_import: bool
    ) -> None:
        self._environment = environment
        self._tables = tables
        self._may_import = may_import
        self._tasks: set[asyncio.Task[None]] = set()

    async def check_table(self, request: Request) -> Response:
        """Check an uploaded file, which is in the body or was saved by an earlier request."""
        if not self._may_import:
            return _error_response(403, NOT_ALLOWED_TEXT)
        options = _read_header(request, OPTIONS_HEADER)
        if not IMPORT_SLOT.acquire(blocking=False):
            return _busy_response()
        try:
            uploaded = await self._find_or_save_upload(request)
        except HTTPException as problem:
            IMPORT_SLOT.release()
            return _error_response(problem.status_code, problem.detail, problem.headers)
        except BaseException:
            IMPORT_SLOT.release()
            raise
        return self._run_and_stream(self._iter_check_lines(uploaded, options))

    async def import_table(self, request: Request) -> Response:
        """Make a product from the table with a key."""
        if not self._may_import:
            return _error_response(403, NOT_ALLOWED_TEXT)
        uploaded = self._tables.find(_read_header(request, KEY_HEADER))
        if uploaded is None or uploaded.table is None:
            return _error_response(404, FORGOTTEN_TEXT)
        if not IMPORT_SLOT.acquire(blocking=False):
            return _busy_response()
        return self._run_and_stream(self._iter_import_lines(uploaded))

    async def download_file(self, request: Request) -> Response:
        """Return the product file or the report of the table with a key."""
        uploaded = self._tables.find(_read_header(request, KEY_HEADER))
        if uploaded is None or uploaded.product is None:
            return _error_response(404, FORGOTTEN_TEXT)
        product = uploaded.product
        is_report = _read_header(request, FILE_HEADER) == "report"
        text = product.report_html if is_report else product.text
        name = f"{product.name}.{'html' if is_report else 'toml'}"
        headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(name)}", **NO_STORE}
        return Response(text, headers=headers, media_type="application/octet-stream")

    async def discard_table(self, request: Request) -> Response:
        """Delete the file of the table with a key, and forget its counts."""
        self._tables.discard(_read_header(request, KEY_HEADER))
        return Response(status_code=204)

    async def _find_or_save_upload(self, request: Request) -> UploadedTable:
        """Return the table with the request's key, or a new one with the body as its file.

        Raises:
            HTTPException: the table was deleted, the file name has an unsupported suffix, or the
                body is too large.
        """
        key = _read_header(request, KEY_HEADER)
        if key:
            known = self._tables.find(key)
            if known is None or not known.has_file:
                raise HTTPException(404, FORGOTTEN_TEXT)
            return known
        name = _read_header(request, NAME_HEADER)
        if not name.lower().endswith(SUFFIXES):
            allowed = ", ".join(SUFFIXES)
            raise HTTPException(415, f"The file's name has to end with one of {allowed}.")
        uploaded = self._tables.add(name)
        try:
            size = 0
            with uploaded.path.open("xb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MAX_TABLE_BYTES:
                        raise HTTPException(413, "The file has more than 20 MB.")
                    file.write(chunk)
        except (HTTPException, ClientDisconnect, OSError):
            self._tables.discard(uploaded.key)
            raise
        return uploaded

    async def _iter_check_lines(
        self, uploaded: UploadedTable, options: str
    ) -> AsyncIterator[dict[str, Any]]:
        request = {"stage": ImportStage.CHECK, "path": str(uploaded.path), "options": options}
        uploaded.table = uploaded.product = None
        async for message in iter_child_messages(request, uploaded.folder):
            if "refused" in message:
                yield {"key": uploaded.key, "refused": refusal_html(message["refused"])}
            else:
                uploaded.table = convert_json_to_table(message["table"])
                uploaded.option_words = tuple(message["option_words"])
                html = table_check_html(uploaded.shown_name, uploaded.table)
                yield {"key": uploaded.key, "html": html}

    async def _iter_import_lines(self, uploaded: UploadedTable) -> AsyncIterator[dict[str, Any]]:
        if uploaded.table is None:
            raise ImportFailedError(FORGOTTEN_TEXT)
        try:
            name = build_product_name(Path(uploaded.path.name))
        except ConfigurationError:  # the file's name has no Latin letter
            name = "table"
        request = {
            "stage": ImportStage.IMPORT,
            "environment": self._environment.name,
            "name": name,
            "table_words": [Path(uploaded.shown_name).name, *uploaded.option_words],
            "table": convert_table_to_json(uploaded.table),
        }
        uploaded.folder.mkdir(mode=0o700, exist_ok=True)
        async for message in iter_child_messages(request, uploaded.folder):
            if "product" in message:
                uploaded.product = _read_product(name, message["product"])
                levels = require_own_data(self._environment).list_product_levels(
                    uploaded.product.content
                )
                html = product_html(uploaded.product, levels, uploaded.key)
                yield {"key": uploaded.key, "html": html}
            elif "refused" in message:
                yield {"key": uploaded.key, "refused": refusal_html(message["refused"])}
            else:
                yield dict(message)
        if not uploaded.has_file:
            uploaded.delete_file()

    def _run_and_stream(self, lines: AsyncIterator[dict[str, Any]]) -> Response:
        """Stream the lines as JSON, and release `IMPORT_SLOT` after the last one."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

        async def run() -> None:
            try:
                async for line in lines:
                    queue.put_nowait(line)
            except ImportFailedError as problem:
                queue.put_nowait({"refused": refusal_html(str(problem))})
            except Exception as problem:  # its message could contain numbers of the table
                text = f"The import failed with an unexpected {type(problem).__name__}."
                queue.put_nowait({"refused": refusal_html(text)})
            finally:
                IMPORT_SLOT.release()
                queue.put_nowait(None)

        task = asyncio.create_task(run())
        self._tasks.add(task)  # the event loop keeps no strong reference
        task.add_done_callback(self._tasks.discard)

        async def follow() -> AsyncIterator[str]:
            try:
                while (line := await queue.get()) is not None:
                    yield json.dumps(line) + "\n"
            finally:
                task.cancel()

        headers = {**NO_STORE, "x-accel-buffering": "no"}
        return StreamingResponse(follow(), media_type="application/x-ndjson", headers=headers)


def build_own_data_app(
    environment: Environment, tables: UploadedTables, *, may_import: bool
) -> Starlette:
    """Build the app that is mounted at /web/own-data; see `OwnDataRoutes` for the arguments."""
    routes = OwnDataRoutes(environment, tables, may_import=may_import)
    return Starlette(
        routes=[
            Route("/check", routes.check_table, methods=["POST"]),
            Route("/import", routes.import_table, methods=["POST"]),
            Route("/file", routes.download_file, methods=["POST"]),
            Route("/discard", routes.discard_table, methods=["POST"]),
            # Not around all routes: progress must not wait until enough of it can be compressed.
            Mount("/static", GZipMiddleware(StaticFiles(directory=SCRIPTS_FOLDER))),
        ]
    )


def _read_product(name: str, message: Mapping[str, Any]) -> ImportedProduct:
    return ImportedProduct(
        name=name,
        text=message["text"],
        content=tomllib.loads(message["text"]),
        report_html=message["report"],
        summary=tuple(SummaryLine(title, text) for title, text in message["summary"]),
    )


def _read_header(request: Request, name: str) -> str:
    return unquote(request.headers.get(name, ""))[:MAX_HEADER_CHARACTERS]


def _busy_response() -> Response:
    text = "Another import is running. Try again in a minute."
    return _error_response(409, text, {"retry-after": "30"})


def _error_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, {**NO_STORE, **(headers or {})})
