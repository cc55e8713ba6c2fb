"""Uploaded tables: their files, which are deleted within ten minutes, and their products.

Counts, products and reports are kept in the memory of this process. They are neither logged nor
written to disk.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.support import SummaryLine

FOLDER_PREFIX = "openenv-kit-upload-"
FILE_LIFETIME_S = 600
"""Time after which an uploaded file is deleted, in seconds."""
MAX_KEPT_TABLES = 8
KEPT_S = 3600
"""Time without use after which counts, product and report are discarded, in seconds."""
MAX_FILE_NAME_CHARACTERS = 80
UNSAFE_CHARACTERS = re.compile(r"[^\w.\- ]")


@dataclass(frozen=True)
class ImportedProduct:
    """Result of an import: a product and a report.

    Attributes:
        name: name of the product.
        text: content of the product file.
        content: the same content as a mapping, for the reset argument `product`.
        report_html: report, which contains the table's numbers.
        summary: lines of the product's summary.
    """

    name: str
    text: str
    content: Mapping[str, Any]
    report_html: str
    summary: tuple[SummaryLine, ...]


@dataclass(eq=False)
class UploadedTable:
    """A visitor's table.

    Attributes:
        shown_name: name of the file on the visitor's computer.
        key: secret that identifies the table in requests.
        folder: private folder of the file and of the child process's temporary files.
        option_words: options of the last check, as words of a command line.
        table: cleaned counts; None if the table was not checked yet or was rejected.
        product: product of the table; None before the import.
        used_at: time of the last use, as a value of `time.monotonic`.
    """

    shown_name: str
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX)))
    option_words: tuple[str, ...] = ()
    table: CleanedTable | None = None
    product: ImportedProduct | None = None
    used_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Start the timer that deletes the file."""
        self._timer = threading.Timer(FILE_LIFETIME_S, self.delete_file)
        self._timer.daemon = True
        self._timer.start()

    @property
    def path(self) -> Path:
        """Path of the file. Its name resembles the uploaded name, because messages quote it."""
        name = UNSAFE_CHARACTERS.sub("_", self.shown_name)[-MAX_FILE_NAME_CHARACTERS:]
        return self.folder / (name.lstrip(". ") or "table.csv")

    @property
    def has_file(self) -> bool:
        """Whether the file still exists."""
        return self.path.is_file()

    def delete_file(self) -> None:
        """Delete the file and its folder."""
        self._timer.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)


class UploadedTables:
    """The tables that visitors uploaded to this process, by key. The oldest ones are discarded."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, UploadedTable] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, shown_name: str) -> UploadedTable:
        """Add a table. The caller then writes its file."""
        delete_old_folders()
        table = UploadedTable(shown_name)
        with self._lock:
            self._tables[table.key] = table
            while len(self._tables) > MAX_KEPT_TABLES:
                self._tables.popitem(last=False)[1].delete_file()
        return table

    def find(self, key: str) -> UploadedTable | None:
        """Return the table with a key; None if the key is unknown or the table was discarded."""
        self._forget_unused()
        with self._lock:
            table = self._tables.get(key)
            if table is not None:
                table.used_at = time.monotonic()
                self._tables.move_to_end(key)
            return table

    def discard(self, key: str) -> None:
        """Delete a table's file, counts, product and report."""
        with self._lock:
            table = self._tables.pop(key, None)
        if table is not None:
            table.delete_file()

    def _forget_unused(self) -> None:
        oldest = time.monotonic() - KEPT_S
        with self._lock:
            unused = [key for key, table in self._tables.items() if table.used_at < oldest]
        for key in unused:
            self.discard(key)


def delete_old_folders() -> None:
    """Delete old upload folders that servers left behind because they were killed."""
    oldest = time.time() - FILE_LIFETIME_S
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            is_old = folder.stat().st_mtime < oldest
        except OSError:  # another server has just deleted it
            continue
        if is_old:
            shutil.rmtree(folder, ignore_errors=True)
