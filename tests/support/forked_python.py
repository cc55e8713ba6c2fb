"""Python programs that start in a moment: forked from a process that has imported the framework.

`warm_python` stands for `subprocess.Popen([sys.executable, *arguments])` where a test is not about
how a program starts; the framework's imports take seconds each time. The program runs by the same
`-m MODULE`, path or `-c CODE`, with its own arguments, variables and standard streams. What it
cannot be given is another interpreter, and variables that are read by an import: with such it is
started plainly.

Run as a program, this is the process that they are forked from; with `-c CODE` it stands for such
a program, as an interpreter that others can start.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (
    "openenv_kit.agent.embedded_server",
    "openenv_kit.page.web_app",
    "openenv_kit.serving.http.limited_protocols",
    "openenv_kit.serving.logs",
    "openenv_kit.serving.http.environment_mounts",
    "openenv_kit.serving.http.routes",
    "openenv_kit.serving.websocket.openenv_protocol",
    "openenv_kit.serving.workers",
    "metric_tracker_rl.models",
    "metric_tracker_rl.page.view",
    "metric_tracker_rl.rubrics",
    "firewatch_env.page.scenes",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)
READ_BY_AN_IMPORT = ("GRADIO_", "FASTMCP_", "PROMETHEUS_", "PYTHON", "LD_")
"""How variables begin that an import reads, and a fork can change no more."""
SET_BY_THE_PAGE = "GRADIO_TEMP_DIR"
"""Every server sets this one itself, once Gradio is imported; uploads go to where it then leads."""
LONGEST_MESSAGE = 1 << 18
SHARED = "WARM_PYTHON"
"""Variable with the address of the nursery that all workers of a test run share."""


class Program:
    """A forked program with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, nursery: Asking, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the program runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code; raise TimeoutExpired after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal unless the end was seen; the process id may have been reused."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that programs are forked from, with the socket at which it is asked for them.

    It ends, and kills what it still runs, when this process is gone, however that ended.

    Args:
        modules: imported there besides what every server needs.
    """

    def __init__(self, *modules: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.address = f"{self._folder.name}/nursery"
        mine, theirs = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.address)
            listener.listen()
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno()), str(mine), *modules],
                cwd=ROOT,
                pass_fds=[listener.fileno(), mine],
                start_new_session=True,  # a Ctrl-C is for the tests, which then end their programs
            )
        os.close(mine)
        self._held = theirs

    def close(self) -> None:
        """End the nursery and the programs that it runs."""
        os.close(self._held)
        self._process.wait()
        self._folder.cleanup()


class Asking:
    """A connection to a nursery; closing it kills the programs that it started."""

    def __init__(self, address: str) -> None:
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(address)
        atexit.register(self._socket.close)

    def ask(self, question: Mapping[str, Any], *descriptors: int) -> Any:
        """Return the nursery's reply to one request."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(question).encode()], descriptors)
            answer = self._socket.recv(LONGEST_MESSAGE)
        if not answer:
            raise RuntimeError("the process that programs are forked from has ended")
        return json.loads(answer)


def share_nursery(*modules: str) -> Nursery:
    """Start a nursery that processes started by this one use as well."""
    nursery = Nursery(*modules)
    os.environ[SHARED] = nursery.address
    return nursery


@functools.cache
def _nursery() -> Asking:
    if SHARED not in os.environ:
        nursery = Nursery()
        atexit.register(nursery.close)
        return Asking(nursery.address)
    return Asking(os.environ[SHARED])


def warm_python(
    *arguments: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL,
    stderr: Any = subprocess.DEVNULL,
) -> Program | subprocess.Popen[bytes]:
    """Start a program.

    Args:
        arguments: of the interpreter: `-m` and a module, or a path; then the program's own.
        cwd: the folder it runs in.
        env: all of its variables; None for those of this process.
        stdin, stdout, stderr: files or descriptors; for `stderr` also subprocess.STDOUT.
    """
    variables = dict(os.environ if env is None else env)
    if _read_by_an_import(variables) != _read_by_an_import(os.environ):
        command = [sys.executable, *arguments]
        return subprocess.Popen(
            command, cwd=cwd, env=variables, stdin=stdin, stdout=stdout, stderr=stderr
        )
    with Path(os.devnull).open("r+b", buffering=0) as nothing:

        def descriptor(stream: Any) -> int:
            if stream == subprocess.DEVNULL:
                return nothing.fileno()
            return stream if isinstance(stream, int) else int(stream.fileno())

        out = descriptor(stdout)
        streams = descriptor(stdin), out, out if stderr == subprocess.STDOUT else descriptor(stderr)
        asked = {"start": arguments, "folder": str(cwd), "variables": variables}
        return Program(_nursery(), _nursery().ask(asked, *streams))


def _read_by_an_import(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(READ_BY_AN_IMPORT) and name != SET_BY_THE_PAGE
    }


def _serve(listener: socket.socket, owner: int) -> dict[str, Any] | None:
    """Fork a process for each request until the owner ends; return the program in each fork."""
    running: dict[socket.socket, set[int]] = {}

    def kill(those: Iterable[int]) -> None:
        for pid in those:
            os.kill(pid, signal.SIGKILL)

    while True:
        ready, _, _ = select.select([listener, owner, *running], [], [])
        if owner in ready:
            kill(pid for those in running.values() for pid in those)
            return None
        if listener in ready:
            running[listener.accept()[0]] = set()
        for asked in running.keys() & set(ready):
            message, descriptors, _, _ = socket.recv_fds(asked, LONGEST_MESSAGE, 3)
            if not message:
                kill(running.pop(asked))
                asked.close()
                continue
            question = json.loads(message)
            if "start" in question:
                pid = os.fork()
                if pid == 0:
                    for each in (listener, *running):
                        each.close()
                    os.close(owner)
                    for number, descriptor in enumerate(descriptors):
                        os.dup2(descriptor, number)
                    for descriptor in descriptors:
                        os.close(descriptor)
                    return question
                for descriptor in descriptors:
                    os.close(descriptor)
                running[asked].add(pid)
                answer: int | None = pid
            else:
                pid, status = os.waitpid(question["ended"], os.WNOHANG)
                running[asked].discard(pid)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            with contextlib.suppress(BrokenPipeError):  # who asked is gone: read as such next
                asked.send(json.dumps(answer).encode())


def _run(arguments: Sequence[str], folder: str, variables: Mapping[str, str]) -> None:
    """Run arguments as the Python interpreter would."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        exec(arguments[1], {"__name__": "__main__"})
    elif arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        sys.path[0] = folder
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def _stand_in(*arguments: str) -> int:
    """Start a program with this process's streams, pass Ctrl-C on, and return its exit code."""
    program = warm_python(*arguments, cwd=Path.cwd(), stdin=0, stdout=1, stderr=2)
    signal.signal(signal.SIGINT, lambda *_: os.kill(program.pid, signal.SIGINT))
    select.select([os.pidfd_open(program.pid)], [], [])
    return program.wait()


if __name__ == "__main__":
    if "-c" in sys.argv:
        sys.exit(_stand_in(*sys.argv[sys.argv.index("-c") :]))
    gc.disable()  # nothing that an import makes is garbage
    asked_at, owned_by, *more = sys.argv[1:]
    for module in (*IMPORTED, *more):
        importlib.import_module(module)
    if threading.active_count() > 1:  # whatever another one holds would be held for good in a fork
        raise RuntimeError(f"an import started a thread: {threading.enumerate()}")
    gc.collect()
    gc.enable()
    gc.freeze()  # a fork that collects would go through, and copy, all of this
    listening = socket.socket(fileno=int(asked_at))
    if (start := _serve(listening, int(owned_by))) is not None:
        _run(start["start"], start["folder"], start["variables"])
