"""A program forked from a warm interpreter behaves like a new process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.forked_python import ROOT, Program, warm_python

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, sys
print(json.dumps([__name__, sys.argv, dict(os.environ), os.getcwd(), sys.path[0]]), flush=True)
print(sys.stdin.read(), file=sys.stderr, flush=True)
raise SystemExit(7)
"""


def test_forked_process_has_its_arguments_variables_and_streams(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = {name: value for name, value in os.environ.items() if name != "HOME"} | {"MINE": "1"}
    fresh = subprocess.run(
        [sys.executable, program, "one"], cwd=ROOT, env=env, input=b"words", capture_output=True
    )
    (tmp_path / "in").write_bytes(b"words")
    with (
        (tmp_path / "in").open("rb") as stdin,
        (tmp_path / "out").open("wb") as stdout,
        (tmp_path / "err").open("wb") as stderr,
    ):
        warm = warm_python(
            str(program), "one", env=env, stdin=stdin.fileno(), stdout=stdout, stderr=stderr
        )
    assert isinstance(warm, Program)
    assert warm.wait(60) == fresh.returncode == 7
    assert json.loads((tmp_path / "out").read_text()) == json.loads(fresh.stdout)
    assert (tmp_path / "err").read_bytes() == fresh.stderr == b"words\n"


def test_forked_interpreter_runs_code_like_python() -> None:
    command = ["-u", "-c", PROGRAM, "one"]
    fresh, warm = (
        subprocess.run([*python, *command], input=b"words", capture_output=True)
        for python in (
            [sys.executable],
            [sys.executable, ROOT / "tests" / "support" / "forked_python.py"],
        )
    )
    assert warm.returncode == fresh.returncode == 7
    assert json.loads(warm.stdout) == json.loads(fresh.stdout)
    assert warm.stderr == fresh.stderr == b"words\n"


def test_forked_process_end_is_seen_as_of_a_child() -> None:
    program = warm_python("-m", "http.server", "0", "--bind", "127.0.0.1")
    assert program.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.05)
    program.kill()
    assert program.wait(60) == -signal.SIGKILL
    program.terminate()  # nobody is there any more
    assert program.poll() == -signal.SIGKILL


def test_variable_read_by_an_import_starts_a_new_process() -> None:
    variables = {**os.environ, "GRADIO_ALLOWED_PATHS": "there"}
    fresh = warm_python("-c", "raise SystemExit(3)", env=variables)
    assert isinstance(fresh, subprocess.Popen)
    assert fresh.wait(60) == 3
