"""What many tests share: a server on loopback, started once, and episodes to look at."""

from __future__ import annotations

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

IMPORTED_BY_TESTS = (
    "docs.generate.hook",
    "fakeredis",
    "hypothesis",
    "openenv_kit.cli",
    "openenv_kit.trainers.openenv_harness",
)
"""What takes longest to import of what every worker needs and no server does."""


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        # One process to fork the workers and all their servers from: its imports take seconds.
        config.add_cleanup(forked_python.share_nursery(*IMPORTED_BY_TESTS).close)
    if config.pluginmanager.hasplugin("hypothesispytest"):  # trainers' environments lack it
        _the_same_examples_in_every_run()


def _the_same_examples_in_every_run() -> None:
    """Whichever files are chosen; and none fails for being slow."""
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
    """Workers are forked from it, by what stands for their interpreter."""
    for spec in specs:
        spec.python = shlex.join([sys.executable, forked_python.__file__])


def pytest_collection() -> None:
    """Nothing that an import makes is garbage; to look for some takes a quarter of its time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """All that is imported by now stays to the end, out of the collector's sight."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first: two workers that share the files then end at about the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_unconfigure(config: pytest.Config) -> None:
    """What was compiled for this run's own folders is of no use to the next one."""
    if sys.pycache_prefix and not hasattr(config, "workerinput"):
        shutil.rmtree(f"{sys.pycache_prefix}{tempfile.gettempdir()}", ignore_errors=True)


@pytest.fixture(params=GAMES.values(), ids=GAMES)
def game(request: pytest.FixtureRequest) -> Game:
    """Each environment in turn."""
    found: Game = request.param
    return found


@pytest.fixture(scope="session")
def built_docs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The built documentation, and what the build said."""
    from support.built_docs import built_once

    own = tmp_path_factory.getbasetemp()
    return built_once(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(scope="session")
def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File that everything the session's server prints goes to."""
    return tmp_path_factory.mktemp("server") / "server.log"


@pytest.fixture(scope="session")
def server_url(server_log: Path) -> Iterator[str]:
    """Address of a server that runs as a process of its own for the whole session."""
    quiet = {name: value for name, value in os.environ.items() if name != "OPENENV_KIT_DEBUG"}
    with (
        server_log.open("wb") as log,
        served(env=quiet, stdout=log, stderr=subprocess.STDOUT) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """A server of the funnel in this process, whose episodes are in memory."""
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
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a request or a reader for one second."""
    from support.raw_connections import running

    folder = tmp_path_factory.mktemp("hasty")
    with running(folder, OPENENV_KIT_REQUEST_TIMEOUT_S="1") as server:
        yield server


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of 16 MiB."""
    with small_disk(tmp_path / "disk", 16 << 20) as disk:
        yield disk
