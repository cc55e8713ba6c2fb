"""Built packages install into an empty environment and work there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tarfile
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.documentation_blocks import blocks_of, commands_of
from support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UV = os.environ.get("UV") or shutil.which("uv")

LIGHT = """
from openenv_kit.environment import get_environment
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.trainers.trl import environment_class

for name in ("metric_tracker_rl", "drilldown", "firewatch"):
    environment = get_environment(name)
    session = environment.create_session()
    opening = session.reset(split="validation", index=0)
    player = environment_class(name)()
    assert player.reset(split="train", index=0)
    print(run_policy(session, environment.policies["reference"], opening).score)
"""
PINNED = ("--build-constraint", ROOT / "requirements-build.lock", "--require-hashes")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.skipif(UV is None and not os.environ.get("CI"), reason="uv is not installed"),
]


def uv(*arguments: str | Path, cwd: Path) -> None:
    """Run uv; its words are the failure's."""
    assert UV is not None, "uv builds the distributions"
    done = subprocess.run(
        [UV, *arguments, "--quiet"], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def only(folder: Path, pattern: str) -> Path:
    """The one file of a folder that matches."""
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the sdist, made with the hash-pinned build backend."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--out-dir", folder, *PINNED, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that holds the wheel and nothing else of ours."""
    home = tmp_path_factory.mktemp("installed")
    uv("venv", "--python", sys.executable, home / "env", cwd=home)
    environment = home / "env" / "bin"
    python = environment / "python"
    locked = ("-r", ROOT / "requirements.lock", "--require-hashes")
    uv("pip", "install", "--python", python, *locked, cwd=home)
    uv("pip", "install", "--python", python, "--no-deps", only(built, "*.whl"), cwd=home)
    return environment


def clean_environment() -> dict[str, str]:
    """This environment without keys, addresses and Python's search path."""
    unset = ("PYTHONPATH", "HF_TOKEN", "OPENAI_API_KEY", "API_KEY", "BASE_URL", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in unset}


def names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_package_and_no_tests(built: Path) -> None:
    names = names_in_wheel(only(built, "*.whl"))
    tops = {name.split("/")[0] for name in names}
    version = PROJECT["project"]["version"]
    assert tops == {
        "metric_tracker_rl",
        "openenv_kit",
        "drilldown_env",
        "firewatch_env",
        "metric_tracker_verifiers.py",
        f"openenv_metric_tracker_rl-{version}.dist-info",
    }
    assert {"metric_tracker_rl/py.typed", "openenv_kit/serving/store/schema.sql"} <= names
    assert [name for name in names if name.endswith(".pyc")] == []


def test_the_sdist_holds_what_it_says_and_no_leftovers(built: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert [entry for entry in wanted if not any(n.startswith(entry) for n in names)] == []
    listed = (*wanted, "README.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore")
    assert [n for n in names if n and not n.startswith(listed)] == []
    assert [n for n in names if re.search(r"__pycache__|\.pyc$|(^|/)results[^/]*\.json$", n)] == []


def test_a_wheel_made_from_the_sdist_is_the_same_wheel(built: Path, tmp_path: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    uv("build", "--wheel", "--out-dir", tmp_path / "again", *PINNED, cwd=source)
    again, first = only(tmp_path / "again", "*.whl"), only(built, "*.whl")
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(first) as other:
        assert {n: one.read(n) for n in one.namelist()} == {
            n: other.read(n) for n in other.namelist()
        }


def neighbour(folder: Path) -> Path:
    """A wheel of another environment, laid out as the framework's template does: a `server`."""
    info, wheel = "neighbour-1.0.dist-info", folder / "neighbour-1.0-py3-none-any.whl"
    files = {
        "server/__init__.py": "",
        "server/app.py": "OWNER = 'neighbour'\n",
        "inference.py": "OWNER = 'neighbour'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: neighbour\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = f"{info}/RECORD"
    files[record] = "".join(f"{name},,\n" for name in (*files, record))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def test_two_environments_that_bring_a_server_install_side_by_side(
    built: Path, tmp_path: Path
) -> None:
    wheels = [neighbour(tmp_path), only(built, "*.whl")]
    # No file of one takes the place of the other's, so that the order does not matter.
    assert not names_in_wheel(wheels[0]) & names_in_wheel(wheels[1])
    uv("venv", "--python", sys.executable, tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    for wheel in wheels:
        uv("pip", "install", "--offline", "--no-deps", "--python", python, wheel, cwd=tmp_path)
    # Dependencies come from this very environment, but not the checkout that it is linked to.
    packages = only(tmp_path / "env" / "lib", "python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def output_of(*command: str | Path) -> str:
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    whose = "import inference, server.app as s; print(inference.OWNER, s.OWNER)"
    assert output_of(python, "-c", whose) == "neighbour neighbour\n"
    app = "import openenv_kit.serving.app as a; print(a.__file__, type(a.app).__name__)"
    assert output_of(python, "-c", app) == f"{packages}/openenv_kit/serving/app.py FastAPI\n"
    for program in ("server", "metric-tracker-inference", "metric-tracker"):
        assert "--help" in output_of(python.with_name(program), "--help")


@pytest.fixture(scope="module")
def light(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds what the guide calls a light install."""
    home = tmp_path_factory.mktemp("light")
    uv("venv", "--python", sys.executable, home / "env", cwd=home)
    python = home / "env" / "bin" / "python"
    guide = (ROOT / "docs" / "training.md").read_text().partition("## A light install")[2]
    (named,) = re.findall(r"^pip install ((?:[a-z]+ ?)+)$", guide, re.M)
    uv("pip", "install", "--python", python, *named.split(), cwd=home)
    uv("pip", "install", "--python", python, "--no-deps", only(built, "*.whl"), cwd=home)
    return python


def played(python: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Play all three environments in process, and begin an episode through TRL's class."""
    return subprocess.run(
        [python, "-c", LIGHT],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_light_install_is_small(light: Path) -> None:
    packages = only(light.parents[1] / "lib", "python*/site-packages")
    installed = [info.name for info in packages.glob("*.dist-info")]
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
    assert len(installed) <= 14, installed
    assert size < 130e6


def test_the_light_install_plays_all_three_environments(light: Path, tmp_path: Path) -> None:
    done = played(light, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1.0", "1.0", "1.0"]


def test_light_install_without_one_package_fails(light: Path, tmp_path: Path) -> None:
    uv("pip", "uninstall", "--python", light, "orjson", cwd=tmp_path)
    done = played(light, tmp_path)
    assert done.returncode != 0
    assert "No module named 'orjson'" in done.stderr


def test_tutorial_works_in_an_empty_folder(built: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-own-environment.md").read_text()
    blocks = blocks_of("your-own-environment.md", page)
    (project,) = [block.text for block in blocks if block.language == "toml"]
    (included,) = re.findall(r'^--8<-- "(.+)"$', blocks[-1].text, re.M)
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "pipe_leak.py").write_text((ROOT / included).read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**clean_environment(), "UV_FIND_LINKS": str(built), "UV_PYTHON": sys.executable}

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command.replace("8000", port)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    said, servers = [], []
    try:
        for block in blocks[:-1]:
            if block.kind == "serve":
                (command,) = commands_of(block.text.replace("8000", port))
                servers.append(background(command, tmp_path, environment))
                health(servers[-1], f"http://127.0.0.1:{port}")
            elif block.language == "bash":
                said.append(run(block.text))
        # One Python session reads all of the page's blocks: an import takes seconds.
        blocks_of_python = [block.text for block in blocks[:-1] if block.language == "python"]
        (tmp_path / "blocks.py").write_text("\n".join(blocks_of_python))
        run("uv run python blocks.py")
    finally:
        for server in servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)
    assert said[0].count("success=true") == 3
    where = run("uv run python -c 'import openenv_kit; print(openenv_kit.__file__)'")
    assert where.startswith(str(tmp_path))


def background(command: str, folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """A command in a process group of its own, so that what it starts ends with it."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def serving(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the installed `server` program, which ends when it is told."""
    folder = tmp_path_factory.mktemp("serving")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [installed / "server", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        health(server, url)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) in (0, -signal.SIGTERM), (folder / "log").read_text()


def test_the_installed_server_says_that_it_is_healthy(serving: str) -> None:
    with urllib.request.urlopen(f"{serving}/health", timeout=5) as answer:
        assert json.loads(answer.read())["status"] == "healthy"


def test_the_installed_scripted_run_solves_the_three_tasks(
    installed: Path, serving: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [installed / "metric-tracker-inference", "--policy", "reference"],
        cwd=tmp_path,
        env={**clean_environment(), "BASE_URL": serving},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    kinds = [line.split(" ")[0] for line in done.stdout.splitlines()]
    assert (kinds.count("[START]"), kinds.count("[END]")) == (3, 3)
    assert set(kinds) == {"[START]", "[STEP]", "[END]"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert [task["score"] for task in results["tasks"]] == [1.0, 1.0, 1.0]


def health(server: subprocess.Popen[bytes], url: str) -> None:
    """Wait for a server that is starting."""
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError("the server never answered")


def test_the_installed_environment_knows_nothing_of_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    where = "import firewatch_env, metric_tracker_rl as m, sys; print(*sys.path, m.__file__)"
    done = subprocess.run(
        [installed / "python", "-c", where],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(ROOT) not in done.stdout
