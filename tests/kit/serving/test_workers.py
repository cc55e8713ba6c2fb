"""Worker processes: start, shared port, open files and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_connection
from typing import Any

import httpx
import pytest

from benchmarks.server_process import HOST, ServerProcess, run_server
from openenv_kit.serving.app import main
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store import open_store as opening
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.interface import MEMORY_STORE
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.workers import BALANCES_SHARED_PORTS
from support.forked_servers import figures, forked
from support.paths import ROOT

LIST = {"type": "step", "data": {"analysis_method": "list_dates"}}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two workers, which wait for as long as a test needs for a connection's first request."""
    environ = {
        "OPENENV_KIT_EPISODE_STORE": str(tmp_path_factory.mktemp("pair") / "episodes.db"),
        "OPENENV_KIT_REQUEST_TIMEOUT_S": "600",
    }
    with run_server(environ=environ, workers=2) as server:
        while figures(server)["openenv_kit_workers"] < 2:  # /health takes one that answers
            time.sleep(0.1)
        yield server


def connections(pid: int) -> int:
    """Open sockets of a process."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found += each.readlink().name.startswith("socket:")
    return found


def command_of(pid: int) -> str:
    """Command line of a process; empty for one that is gone or a zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


pytestmark = pytest.mark.slow


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    script = (
        "import resource;"
        "from openenv_kit.serving.workers import raise_open_file_limit_to_hard_limit;"
        "raise_open_file_limit_to_hard_limit(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = f'ulimit -Sn 100; ulimit -Hn 400; exec "{sys.executable}" -c "{script}"'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["400", "400"], done.stderr


@pytest.mark.parametrize("address", ["", MEMORY_STORE])
def test_several_workers_never_have_a_memory_each(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "missing"))
    with pytest.raises(StoreUnavailableError, match="OPENENV_KIT_EPISODE_STORE"):
        open_store(Settings(episode_store=address, workers=2))
    # A worker is not told how many there are; that it has a parent is enough.
    monkeypatch.setattr(opening.multiprocessing, "parent_process", lambda: object())
    with pytest.raises(StoreUnavailableError, match="OPENENV_KIT_EPISODE_STORE"):
        open_store(Settings(episode_store=address))


def test_the_command_does_not_start_several_workers_with_a_memory_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENENV_KIT_EPISODE_STORE", "memory")
    monkeypatch.setattr(
        "openenv_kit.serving.app.run_server", lambda *_: pytest.fail("the server was started")
    )
    with pytest.raises(SystemExit, match="server: OPENENV_KIT_EPISODE_STORE is 'memory'"):
        main(["--workers", "2"])


@pytest.mark.skipif(
    not BALANCES_SHARED_PORTS, reason="only Linux spreads connections over sockets of one port"
)
def test_connections_of_one_moment_do_not_all_go_to_the_worker_that_wakes_up_first(
    pair: ServerProcess,
) -> None:
    with ExitStack() as stack:
        pids = pair.process_ids()
        before = {pid: connections(pid) for pid in pids}

        def grown(pid: int) -> int:
            return connections(pid) - before[pid]

        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(64):
            stack.enter_context(create_connection((HOST, pair.port)))
        first = pids[-1]
        os.kill(first, signal.SIGCONT)
        accepted = 0
        for _ in range(100):
            time.sleep(0.3)
            if 0 < accepted == grown(first):
                break
            accepted = grown(first)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for _ in range(300):
            if sum(map(grown, pids)) == 64:
                break
            time.sleep(0.1)
        # A fair coin gives either worker fewer than 8 of 64 once in 10^10 runs.
        assert sorted(map(grown, pids))[-2] >= 8, [grown(pid) for pid in pids]


def test_a_port_in_use_is_refused_with_several_workers_too() -> None:
    with forked() as server:
        command = ["server.app", "--host", HOST, "--port", str(server.port), "--workers", "2"]
        second = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", *command],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert second.returncode != 0
    assert "Address already in use" in second.stderr
    # Whoever starts workers needs nothing of what they serve.
    assert "openenv_kit.serving.workers" in second.stderr
    assert "openenv.core" not in second.stderr


def test_two_workers_share_episodes_and_add_up_their_figures(pair: ServerProcess) -> None:
    def one(path: str, body: Any) -> dict[str, Any]:
        return dict(httpx.post(f"{pair.url}{path}", json=body, timeout=30).json())

    episode_id = one("/reset", {"seed": 4})["episode_id"]
    body = {"episode_id": episode_id, "action": LIST["data"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: one("/step", body), range(40)))
    assert {each["observation"]["status"] for each in answers} == {"analyzed"}
    state = httpx.get(f"{pair.url}/state", params={"episode_id": episode_id}).json()
    assert state["step_count"] == 40
    totals = figures(pair)
    assert totals['openenv_kit_step_seconds_count{method="list_dates"}'] == 40
    assert totals["openenv_kit_session_limit"] == 2 * 1024
    assert totals["openenv_kit_workers"] == 2
    assert len(pair.process_ids()) > 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_their_parent_is_killed(pair: ServerProcess) -> None:
    """The last to use the pair."""
    workers = [pid for pid in pair.process_ids()[1:] if "spawn_main" in command_of(pid)]
    assert len(workers) == 2
    os.kill(pair.process.pid, signal.SIGKILL)
    pair.process.wait(60)
    for _ in range(1200):
        if not any(map(command_of, workers)):
            break
        time.sleep(0.05)
    assert [pid for pid in workers if command_of(pid)] == []
