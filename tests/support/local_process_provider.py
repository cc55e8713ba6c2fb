"""A provider for the framework's validation that starts the server as a local process.

The manifest declares `no-network`, and a provider must enforce the declared mode or refuse.
This one starts the server in a network namespace of its own (`unshare --net`), which holds
nothing but a loopback interface that is down: the server can reach no address at all. It
listens on a Unix socket, which belongs to the file system and not to a namespace, and the
test's side relays one loopback port to it. That a process is started and reached is all this
covers: no image is built (the digest of the source stands for one) and no CPU, memory or disk
limit of the manifest is enforced.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from openenv.validation.providers import ExecResult, StartupError, UnsupportedCapability
from openenv.validation.runner import source_digest
from openenv.validation.types import ProviderCapability

UNSHARE = ("unshare", "--net", "--")


def can_unshare() -> bool:
    """Return whether this process may create network namespaces, usually as root."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


class Relay:
    """A loopback port each connection of which is copied to a Unix socket and back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def close(self) -> None:
        """End every connection and wait for every thread."""
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        for each in (self._listener, *self._open):
            each.close()

    def _run(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                outer, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(outer)
            inner = socket.socket(socket.AF_UNIX)
            self._open.append(inner)
            try:
                inner.connect(str(self._path))
            except OSError:
                outer.close()
                continue
            self._run(self._copy, outer, inner)
            self._run(self._copy, inner, outer)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class LocalProcess:
    """The server as a process without a network, reached through a relay."""

    def __init__(self, root: Path, folder: Path, startup_timeout_s: float) -> None:
        self._path = folder / "subject.sock"
        self._log = folder / "subject.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *UNSHARE,
                    *(sys.executable, "-m", "uvicorn", "server.app:app"),
                    *("--uds", str(self._path)),
                ],
                cwd=root,
                env={"PATH": os.environ["PATH"], "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._relay: Relay | None = None
        try:
            self._await(startup_timeout_s)
            self._relay = Relay(self._path)
        except BaseException:
            self.stop()
            raise
        self.base_url = f"http://127.0.0.1:{self._relay.port}"

    def _await(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise StartupError(f"the server ended: {self.logs()[-1000:]}")
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(5)
                probe.connect(str(self._path))
                probe.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                if b" 200 " in probe.recv(64):
                    return
            time.sleep(0.1)
        raise StartupError(f"the server was not healthy within {timeout_s:g} s")

    def interfaces(self) -> list[str]:
        """Return the interfaces of the server's network namespace."""
        lines = Path(f"/proc/{self._process.pid}/net/dev").read_text().splitlines()[2:]
        return [line.split(":")[0].strip() for line in lines]

    def routes(self) -> list[str]:
        """Return the routes of the server's network namespace."""
        return Path(f"/proc/{self._process.pid}/net/route").read_text().splitlines()[1:]

    def inspect(self) -> dict[str, Any]:
        return {"pid": self._process.pid, "interfaces": self.interfaces(), "routes": self.routes()}

    def logs(self, max_bytes: int = 65536) -> str:
        return self._log.read_bytes()[-max_bytes:].decode(errors="replace")

    def exec(self, argv: list[str], timeout_s: float) -> ExecResult:
        raise UnsupportedCapability("commands are not run beside a local process")

    def stop(self) -> None:
        if self._relay is not None:
            self._relay.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(timeout=30)


class LocalProcessProvider:
    """Starts subjects as local processes in a network namespace of their own."""

    name = "local-process"
    # The runner asks for a built image before it starts anything; see `build`.
    capabilities = frozenset({ProviderCapability.IMAGE_BUILD})
    supported_network_modes = frozenset({"no-network"})

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self.started: list[LocalProcess] = []

    def build(self, root: Path, execution: Any) -> str:
        """Return the digest of the source, which replaces the digest of an image."""
        return f"sha256:{source_digest(root)}"

    def start(self, spec: Any) -> LocalProcess:
        if spec.network.mode not in self.supported_network_modes:
            raise UnsupportedCapability(f"network mode {spec.network.mode}")
        # A cold start imports the whole framework; its default deadline is for a container.
        process = LocalProcess(self._root, self._folder, max(spec.startup_timeout_s, 120.0))
        self.started.append(process)
        return process
