"""Child process that reads an uploaded table or makes a product from it.

The server starts `python -m openenv_kit.own_data.import_process` and writes one line of JSON, the
request, to its standard input. The process writes lines of JSON to its standard output: progress,
then a result or the reason why the table was rejected. It limits its own memory and CPU time. When
its standard input is closed, it ends and stops every process that it started.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from openenv_kit.environment import get_environment
from openenv_kit.errors import KitError
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.support import ImportRequest

MAX_MEMORY_BYTES = 3 << 30
"""Limit on the address space of the process. DuckDB itself is limited to 512 MB."""
MAX_CPU_S = 300
MAX_FILE_BYTES = 1 << 30
"""Largest file that the process may write, such as a copy of the table in UTF-8."""
MAX_UPLOADED_ROWS = 5_000_000
"""Largest number of rows of an uploaded Parquet file."""


class ImportStage(StrEnum):
    """Task that the process performs."""

    CHECK = "check"
    IMPORT = "import"


def main() -> None:
    """Serve the request on standard input."""
    for limit, value in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    try:
        if request["stage"] == ImportStage.CHECK:
            _send(_check(request))
        else:
            _send({"product": _import(request)})
    except (KitError, ModuleNotFoundError) as problem:
        _send({"refused": str(problem)})
    except OSError as problem:  # the text of other errors may contain a path of the server
        _send({"refused": f"The table cannot be read: {problem.strerror or 'wrong content'}."})
    except MemoryError:
        _send({"refused": "The table needs more memory than an import may use."})


def _check(request: Mapping[str, Any]) -> dict[str, Any]:
    from openenv_kit.cli.option_text import parse_option_text
    from openenv_kit.own_data.clean_table import load_table  # slow: imports pandas
    from openenv_kit.own_data.option_words import list_command_words
    from openenv_kit.own_data.table_json import convert_table_to_json

    options = parse_option_text(request["options"], Path(request["path"]), MAX_UPLOADED_ROWS)
    _, *option_words = list_command_words(options)  # the first word is the file's name
    return {"table": convert_table_to_json(load_table(options)), "option_words": option_words}


def _import(request: Mapping[str, Any]) -> dict[str, Any]:
    from openenv_kit.own_data.table_json import convert_json_to_table

    name = request["name"]
    result = require_own_data(get_environment(request["environment"])).import_table(
        convert_json_to_table(request["table"]),
        ImportRequest(
            product_name=name,
            product_file_name=f"{name}.toml",
            report_file_name=f"{name}.html",
            table_words=tuple(request["table_words"]),
            worker_count=os.cpu_count() or 1,
            show_progress=_send_progress,
        ),
    )
    return {
        "text": result.product_text,
        "report": result.report_html,
        "summary": [list(line) for line in result.summary],
        "has_level": result.has_level,
    }


def _send_progress(items: Iterator[object], count: int) -> Iterator[object]:
    for done, item in enumerate(items, start=1):
        _send({"done": done, "total": count})
        yield item


def _send(message: Mapping[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _end_with_parent() -> None:
    """Wait until the server closes the pipe or ends, then end this process and its workers."""
    # Not `sys.stdin.read`, whose lock would be held when the interpreter ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
