"""Fixtures for all tests: environments, servers, the built documentation and a small disk."""

from __future__ import annotations

import atexit
import gc
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from support.raw_connections import Server

if sys.dont_write_bytecode:
    # Compiling the framework takes longer than importing it, and the tests start dozens of
    # processes that need it. What they compile is kept; beside the sources there is still none.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.pycache_prefix = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# Servers that tests stop have nothing to wait for; those of tests/kit/serving/test_draining.py do.
os.environ.setdefault("OPENENV_KIT_DRAIN_S", "0")

os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}

from support import forked_python
from support.live_server import served
from support.playable_environments import GAMES, Game
from support.small_disk import Disk, small_disk


def _exit_at_once_if_duckdb_was_used() -> None:
    if "duckdb" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if "PYTEST_XDIST_WORKER" in os.environ:
    # At the end of a process, DuckDB 2.0 reports its own types as leaked, in up to 100 lines.
    atexit.register(_exit_at_once_if_duckdb_was_used)

IMPORTED_BY_TESTS = (
    "docs.generate.hook",
    "fakeredis",
    "hypothesis",
    "openenv_kit.cli",
    "openenv_kit.trainers.openenv_harness",
)
"""Slow imports that every worker needs and no server does."""


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        # One process to fork the workers and all their servers from: its imports take seconds.
        config.add_cleanup(forked_python.share_nursery(*IMPORTED_BY_TESTS).close)
    if config.pluginmanager.hasplugin("hypothesispytest"):  # trainers' environments lack it
        _use_fixed_examples()


def _use_fixed_examples() -> None:
    """Make hypothesis use the same examples in every run, and never fail for slowness."""
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "suite",
        max_examples=60,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Start the workers of xdist as forks of the nursery process."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, forked_python.__file__])


def pytest_collection() -> None:
    """Disable garbage collection: it takes a quarter of the time of imports and finds nothing."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude everything imported so far from garbage collection, and enable it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that two workers end at about the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove bytecode that was compiled for temporary folders of this run."""
    if sys.pycache_prefix and not hasattr(config, "workerinput"):
        shutil.rmtree(f"{sys.pycache_prefix}{tempfile.gettempdir()}", ignore_errors=True)


@pytest.fixture(params=GAMES.values(), ids=GAMES)
def game(request: pytest.FixtureRequest) -> Game:
    """Return each environment in turn."""
    found: Game = request.param
    return found


@pytest.fixture(scope="session")
def built_docs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of the built documentation and the output of the build."""
    from support.built_docs import built_once

    own = tmp_path_factory.getbasetemp()
    return built_once(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(scope="session")
def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file with the output of `server_url`'s server."""
    return tmp_path_factory.mktemp("server") / "server.log"


@pytest.fixture(scope="session")
def server_url(server_log: Path) -> Iterator[str]:
    """Return the address of a server process that runs for the whole session."""
    quiet = {name: value for name, value in os.environ.items() if name != "OPENENV_KIT_DEBUG"}
    with (
        server_log.open("wb") as log,
        served(env=quiet, stdout=log, stderr=subprocess.STDOUT) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Return a client of a funnel server in this process, with episodes in memory."""
    from starlette.testclient import TestClient

    from openenv_kit.serving.app import build_app
    from openenv_kit.serving.settings import Settings

    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        yield client


@pytest.fixture(scope="session")
def raw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server process that tests reach over bare sockets."""
    from support.raw_connections import running

    with running(tmp_path_factory.mktemp("plain")) as server:
        yield server


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that waits one second for a request or for a reader."""
    from support.raw_connections import running

    folder = tmp_path_factory.mktemp("impatient_server")
    with running(folder, OPENENV_KIT_REQUEST_TIMEOUT_S="1") as server:
        yield server


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a file system of 16 MiB."""
    with small_disk(tmp_path / "disk", 16 << 20) as disk:
        yield disk
