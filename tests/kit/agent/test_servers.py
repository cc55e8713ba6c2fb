"""The server of a run: chosen, started and stopped."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.agent import find_server, servers
from openenv_kit.agent.find_server import find_or_start_server
from openenv_kit.agent.server_requests import is_server_healthy
from openenv_kit.agent.servers import (
    ContainerServer,
    EmbeddedServer,
    Server,
    find_free_loopback_port,
    select_embedded_server_variables,
)
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.errors import ConfigurationError, ServerError
from support.paths import TESTS
from support.stub_server import stub_server

STUB = TESTS / "support" / "stub_server.py"


class Said(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def quick_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded server's process is the stub, which starts in a blink."""
    monkeypatch.setattr(
        servers,
        "build_embedded_server_command",
        lambda port: [sys.executable, str(STUB), str(port)],
    )


@pytest.fixture
def no_local_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_server, "LOCAL_PORTS", ())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_named_server_is_preferred_and_reported() -> None:
    said = Said()
    with stub_server() as stub:
        settings = AgentSettings(base_url=stub.url, image_name="an-image")
        server = await find_or_start_server(ENVIRONMENT, settings, said)
    assert type(server) is Server
    assert server.url == stub.url
    assert said == [f"Environment: {stub.url} (BASE_URL)"]


async def test_a_named_websocket_address_is_checked_over_http() -> None:
    with stub_server() as stub:
        url = stub.url.replace("http", "ws")
        assert (
            await find_or_start_server(ENVIRONMENT, AgentSettings(base_url=url), Said())
        ).url == url


async def test_a_named_server_of_another_environment_is_refused_by_its_name() -> None:
    with (
        stub_server(name="echo_env") as stub,
        pytest.raises(ConfigurationError, match="'echo_env'"),
    ):
        await find_or_start_server(ENVIRONMENT, AgentSettings(base_url=stub.url), Said())


async def test_a_named_server_that_does_not_answer_is_an_error_naming_the_setting() -> None:
    said = Said()
    settings = AgentSettings(base_url="http://127.0.0.1:9", connect_timeout_s=0.2)
    with pytest.raises(
        ServerError, match=r"BASE_URL is http://127\.0\.0\.1:9, but no healthy server"
    ):
        await find_or_start_server(ENVIRONMENT, settings, said)
    assert said == ["Waiting for http://127.0.0.1:9 …"]


async def test_a_local_server_is_used_if_it_is_this_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with stub_server(name="echo_env") as other, stub_server() as ours:
        monkeypatch.setattr(find_server, "LOCAL_PORTS", (other.port, ours.port))
        server = await find_or_start_server(ENVIRONMENT, AgentSettings(), Said())
    assert server.url == ours.url
    assert type(server) is Server


@pytest.mark.slow
async def test_without_any_server_one_is_started_and_stopped_by_its_process_id(
    monkeypatch: pytest.MonkeyPatch, quick_embedded: None
) -> None:
    said = Said()
    with stub_server(name="echo_env") as other:
        monkeypatch.setattr(find_server, "LOCAL_PORTS", (other.port, 9))
        server = await find_or_start_server(ENVIRONMENT, AgentSettings(), said)
    assert isinstance(server, EmbeddedServer)
    assert await is_server_healthy(server.url)
    pid = int(server.description.rsplit(" ", 1)[1].rstrip(")"))
    assert said[-1] == f"Environment: own server on {server.url} (process {pid})"
    assert alive(pid)
    await server.stop()
    assert not alive(pid)
    assert not await is_server_healthy(server.url)


async def test_embedded_is_chosen_over_a_running_local_server(
    monkeypatch: pytest.MonkeyPatch, quick_embedded: None
) -> None:
    with stub_server() as ours:
        monkeypatch.setattr(find_server, "LOCAL_PORTS", (ours.port,))
        server = await find_or_start_server(ENVIRONMENT, AgentSettings(embedded=True), Said())
        try:
            assert server.url != ours.url
        finally:
            await server.stop()


@pytest.mark.slow
async def test_an_embedded_server_that_died_is_started_again_on_its_port(
    quick_embedded: None,
) -> None:
    server = await EmbeddedServer(ENVIRONMENT.name).start()
    try:
        url, before = server.url, server.description
        os.kill(int(before.rsplit(" ", 1)[1].rstrip(")")), signal.SIGKILL)
        for _ in range(100):
            if not await is_server_healthy(url):
                break
            time.sleep(0.02)
        await server.restart_if_dead()
        assert server.url == url
        assert server.description != before
        assert await is_server_healthy(url)
    finally:
        await server.stop()


@pytest.mark.slow
async def test_an_embedded_server_that_cannot_start_is_an_error_with_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = "import sys; sys.exit('no module named imagination')"
    monkeypatch.setattr(
        servers, "build_embedded_server_command", lambda _: [sys.executable, "-c", program]
    )
    with pytest.raises(ServerError, match="no module named imagination"):
        await EmbeddedServer(ENVIRONMENT.name).start()


def test_the_embedded_server_sees_no_key_and_shows_no_answers() -> None:
    given = {
        "HF_TOKEN": "hf",
        "OPENAI_API_KEY": "sk",
        "API_KEY": "k",
        "OPENENV_KIT_DEBUG": "1",
        "OPENENV_KIT_TOKEN": "a-token",
        "OPENENV_KIT_SEALED_SALT": "salt",
        "PORT": "80",
        "PATH": "/bin",
    }
    assert select_embedded_server_variables(given) == {
        "PATH": "/bin",
        "OPENENV_KIT_SEALED_SALT": "salt",
        "OPENENV_KIT_EPISODE_STORE": "memory",
        "ENABLE_WEB_INTERFACE": "false",
    }


def test_embedded_server_gets_the_episode_store_for_sealed_tasks_only() -> None:
    store = {"OPENENV_KIT_EPISODE_STORE": "plays.db"}
    sealed = select_embedded_server_variables({**store, "OPENENV_KIT_SEALED_SALT": "salt"})
    assert sealed["OPENENV_KIT_EPISODE_STORE"] == "plays.db"
    assert select_embedded_server_variables(store)["OPENENV_KIT_EPISODE_STORE"] == "memory"


FAKE_DOCKER = """\
#!{python}
import os, signal, subprocess, sys
from pathlib import Path
here = Path({here!r})
with (here / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
match sys.argv[1]:
    case "run" if sys.argv[-1] == "broken-image":
        sys.exit("no such image")
    case "run":
        port = sys.argv[sys.argv.index("-p") + 1].split(":")[0]
        child = subprocess.Popen([{python!r}, {stub!r}, port], stdout=-3, stderr=-3)
        print(child.pid)
    case "stop":
        os.kill(int(sys.argv[2]), signal.SIGKILL)
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that runs the stub as its container; returns the list of calls."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        FAKE_DOCKER.format(python=sys.executable, here=str(tmp_path), stub=str(STUB))
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls"


@pytest.mark.slow
async def test_an_image_is_run_as_a_container_and_removed_after(docker: Path) -> None:
    said = Said()
    server = await find_or_start_server(ENVIRONMENT, AgentSettings(image_name="some/image:1"), said)
    assert isinstance(server, ContainerServer)
    assert await is_server_healthy(server.url)
    await server.stop()
    assert not await is_server_healthy(server.url)
    verbs = [line.split()[0] for line in docker.read_text().splitlines()]
    assert verbs == ["version", "run", "stop", "rm"]
    assert said[-1] == f"Environment: container of some/image:1 on {server.url}"


@pytest.mark.slow
async def test_an_image_that_does_not_start_is_an_error_naming_the_setting(docker: Path) -> None:
    with pytest.raises(ServerError, match="IMAGE_NAME is 'broken-image'") as caught:
        await find_or_start_server(ENVIRONMENT, AgentSettings(image_name="broken-image"), Said())
    assert "no such image" in str(caught.value)


async def test_no_docker_is_an_error_naming_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match=r"IMAGE_NAME is 'an-image'.*Docker is not available"):
        await find_or_start_server(ENVIRONMENT, AgentSettings(image_name="an-image"), Said())


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", find_free_loopback_port()))
