"""Limits of a visitor: slots and pending answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from openenv_kit.page import visitor_limits, web_app
from openenv_kit.page.visitor_limits import MAX_UNREAD_PER_VISITOR, VisitorLimits
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from support.browser import WebServer, web_server

pytestmark = pytest.mark.slow

JOINS = int(os.environ.get("METRIC_TRACKER_JOINS") or 0)
MOST_MIB = 1000


class Page:
    """Stands for Gradio behind the gate: joins are answered, streams stay open until let go."""

    def __init__(self) -> None:
        self.joined: Counter[str] = Counter()
        self.pending_event_ids_session: dict[str, set[str]] = {}
        self.pending_messages_per_session: dict[str, Any] = {}
        self.cleaned: list[str] = []
        self.let_go = asyncio.Event()
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.endswith("/join"):
            session = json.loads((await receive())["body"])["session_hash"]
            self.joined[session] += 1
            if self.status == 200:
                unread = self.pending_event_ids_session.setdefault(session, set())
                unread.add(str(self.joined[session]))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        if path.endswith("/data"):
            body = b"data: an answer"
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self.pending_event_ids_session[scope["query_string"].decode()[13:]].pop()
        if path.endswith("/data") or "/heartbeat/" in path:
            await self.let_go.wait()
        await send({"type": "http.response.body", "body": b""})

    async def clean_events(self, session_hash: str) -> None:
        self.cleaned.append(session_hash)


class Door:
    """A gate with a stand-in page behind it, and ways to knock."""

    def __init__(self, most: int = 3, grace_s: float = 0.0) -> None:
        self.page = Page()
        self.forgotten: list[str] = []
        self.visitor = SimpleNamespace(is_disconnected=False)
        self.holder = SimpleNamespace(
            delete_state=self.forgotten.append,
            session_data={"me": SimpleNamespace(state_data={0: self.visitor})},
            time_last_used={},
        )
        blocks = SimpleNamespace(_queue=self.page, state_holder=self.holder)
        self.gate = VisitorLimits(self.page, blocks, most, grace_s)
        self.open: list[asyncio.Task[int]] = []

    async def knock(self, path: str, body: Any = None, query: str = "") -> int:
        statuses: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

        async def send(message: Message) -> None:
            if "status" in message:
                statuses.append(message["status"])

        scope = {"type": "http", "path": path, "query_string": query.encode()}
        await self.gate(scope | {"method": "POST", "headers": []}, receive, send)
        return statuses[0]

    async def join(self, session: str) -> int:
        return await self.knock("/gradio_api/queue/join", {"session_hash": session})

    async def connect(self, session: str) -> asyncio.Task[int]:
        """Open the connection that says that somebody is there."""
        task = asyncio.ensure_future(self.knock(f"/gradio_api/heartbeat/{session}"))
        self.open.append(task)
        await asyncio.sleep(0)
        return task

    async def leave(self) -> None:
        """Close every connection."""
        self.page.let_go.set()
        await asyncio.gather(*self.open)
        self.open.clear()
        self.page.let_go.clear()

    async def settle(self) -> None:
        await asyncio.sleep(0.01)
        await asyncio.gather(*self.gate._forgetting)


async def test_visitor_who_reads_no_answers_is_limited(
    tmp_path: Path,
) -> None:
    door = Door()
    assert [await door.join("me") for _ in range(MAX_UNREAD_PER_VISITOR + 1)] == [200] * 16 + [429]
    reading = asyncio.ensure_future(door.knock("/gradio_api/queue/data", query="session_hash=me"))
    await asyncio.sleep(0.01)
    assert await door.join("me") == 200, "one answer was read, so one more is made"
    assert await door.join("me") == 429
    door.page.let_go.set()
    await reading


async def test_a_refused_join_waits_for_no_answer(tmp_path: Path) -> None:
    door = Door()
    door.page.status = 503
    assert [await door.join("me") for _ in range(40)] == [503] * 40


async def test_slot_of_a_disconnected_visitor_is_reused(tmp_path: Path) -> None:
    door = Door(most=3)
    for name in ("here", "gone", "there"):
        await door.join(name)
    await door.connect("here")
    await door.connect("there")
    assert await door.join("new") == 200
    assert door.forgotten == ["gone"]
    await door.connect("new")
    assert await door.join("late") == 503
    assert await door.knock("/gradio_api/heartbeat/late") == 503
    assert await door.join("here") == 200, "a visitor who has a seat keeps it"
    assert "late" not in door.page.joined
    await door.leave()


async def test_pending_answers_of_all_visitors_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor_limits, "MAX_UNREAD", 8)
    door = Door(most=1000)
    for number in range(100):
        assert await door.join(f"s{number}") == 200
    assert sum(map(len, door.page.pending_event_ids_session.values())) == 8
    assert door.forgotten == [f"s{number}" for number in range(92)], "the longest unread go first"
    assert door.page.cleaned == door.forgotten, "nothing is computed for them any more"


async def test_visitor_is_forgotten_after_the_grace_period(
    tmp_path: Path,
) -> None:
    door = Door(grace_s=0.0)
    await door.connect("me")
    await door.leave()
    await door.settle()
    assert door.forgotten == ["me"]
    patient = Door(grace_s=3600.0)
    await patient.connect("me")
    await patient.leave()
    leaving = patient.gate._slots["me"].forget_timer
    assert leaving is not None
    assert patient.visitor.is_disconnected, "nothing more is done for them"
    await patient.connect("me")
    assert not patient.visitor.is_disconnected
    assert leaving.cancelled()
    assert patient.forgotten == []
    await patient.leave()
    await patient.gate._forget_session("me")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../me", 7, None, ["me"]])
async def test_a_session_must_have_a_name_that_the_page_makes(tmp_path: Path, name: Any) -> None:
    door = Door()
    assert await door.knock("/gradio_api/queue/join", {"session_hash": name}) == 400
    assert await door.knock("/gradio_api/queue/join", [name]) == 400
    assert await door.knock("/gradio_api/queue/data", query=f"session_hash={name} !") == 400
    assert not door.page.joined


UNUSED = [
    *("file=/etc/passwd", "file/etc/passwd", "proxy=http://127.0.0.1:1/", "run/start", "api/start"),
    *("call/start", "call/v2/start", "stream/x", "component_server", "process_recording"),
    *(
        "openapi.json",
        "runs",
        "upload",
        "vibe-code/",
        "dev/reload",
        "custom_component/a/b/c/d",
        "deep_link",
    ),
]


def test_routes_that_the_page_does_not_use_do_not_exist(small: WebServer) -> None:
    with httpx.Client(base_url=f"{small.url}/web") as web:
        for path in [f"/gradio_api/{each}" for each in UNUSED]:
            for method in ("GET", "POST"):
                assert web.request(method, path, json={}).status_code == 404, path
        for path in ("/monitoring", "/monitoring/summary", "/login", "/gradio_api/file=../x"):
            assert web.get(path).status_code == 404, path
        assert web.get("/config").status_code == 200


async def test_no_request_may_name_a_file(tmp_path: Path) -> None:
    door = Door()
    file = {"path": "http://127.0.0.1:1/secret", "meta": {"_type": "gradio.FileData"}}
    for given in (file, [file], {"deep": [file]}):
        body = {"session_hash": "one", "data": [None, given]}
        assert await door.knock("/gradio_api/queue/join", body) == 400
    assert not door.page.joined
    assert await door.knock("/gradio_api/upload") == 200, (
        "left to the page, which has no such route"
    )


@contextlib.asynccontextmanager
async def real_page(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Any]:
    """The app itself, its Gradio app, and a client, in this process."""
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", "true")
    gates: list[VisitorLimits] = []

    class Seen(VisitorLimits):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            gates.append(self)

    monkeypatch.setattr(web_app, "VisitorLimits", Seen)
    app = build_app(Settings(episode_store="memory"))
    mounted = next(r for r in app.routes if isinstance(r, Mount) and r.path == "/web")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.get("/web/config")  # builds the middleware
            yield SimpleNamespace(gradio=mounted.app, client=client, gate=gates[0])


@pytest.mark.slow
async def test_gradio_keeps_nothing_of_a_session_that_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with real_page(monkeypatch, tmp_path) as page:
        config = (await page.client.get("/web/config")).json()
        loads = [d for d in config["dependencies"] if any(t[1] == "load" for t in d["targets"])]
        event = max(loads, key=lambda each: len(each["outputs"]))
        body = {"data": [None] * len(event["inputs"]), "fn_index": event["id"]}
        for name in ("one", "two"):
            given = body | {"session_hash": name}
            joined = await page.client.post("/web/gradio_api/queue/join", json=given)
            assert joined.status_code == 200
        queue, holder = page.gradio.get_blocks()._queue, page.gradio.state_holder
        for _ in range(600):
            if not len(queue) and not any(queue.active_jobs):
                break
            await asyncio.sleep(0.1)
        assert set(holder.session_data) == {"one", "two"}
        for name in ("one", "two"):
            await page.gate._forget_session(name)
        kept = (queue.pending_messages_per_session, queue.pending_event_ids_session)
        assert [dict(each) for each in (*kept, holder.session_data)] == [{}, {}, {}]


def resident(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.mark.slow
@needs_proc
def test_unread_joins_use_at_most_the_visitor_slots(tmp_path: Path) -> None:
    """Where nothing is forgotten, each of the later joins leaves a MiB behind."""
    with web_server(tmp_path / "server.log", OPENENV_KIT_MAX_VISITORS="8") as server:
        assert flood(server, 12).total() == 12
        seated = resident(server.pid)
        assert flood(server, 24).total() == 24
        grown = resident(server.pid) - seated
    print(f"24 joins past the number of seats: {grown:.0f} MiB more")
    assert grown < 17


@pytest.mark.slow
@needs_proc
@pytest.mark.skipif(not JOINS, reason="set METRIC_TRACKER_JOINS=5000; takes half an hour")
def test_unread_joins_stay_within_the_memory_limit(tmp_path: Path) -> None:
    with web_server(tmp_path / "server.log", OPENENV_KIT_LOG_LEVEL="error") as server:
        memory, done = [resident(server.pid)], threading.Event()

        def watch_memory() -> None:
            while not done.wait(0.5):
                memory.append(resident(server.pid))

        watcher = threading.Thread(target=watch_memory)
        watcher.start()
        statuses = flood(server, JOINS)
        done.set()
        watcher.join()
        threads_of_server = len(list(Path(f"/proc/{server.pid}/task").iterdir()))
        assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
    print(f"{JOINS} joins: {memory[0]:.0f} MiB before, {max(memory):.0f} at most; {statuses}")
    assert statuses.total() == JOINS
    assert max(memory) < MOST_MIB
    assert threads_of_server < 100


def dependency(url: str, target: str) -> dict[str, Any]:
    """The page's event that a kind of trigger starts, the one with the most outputs."""
    config = httpx.get(f"{url}/web/config", timeout=60).json()
    found = [d for d in config["dependencies"] if any(t[1] == target for t in d["targets"])]
    return max(found, key=lambda each: len(each["outputs"]))


def flood(server: WebServer, joins: int) -> Counter[int]:
    """Join the page's queue as so many visitors, of whom only the last reads the answer; statuses.

    By then the others' answers have been made.
    """
    event = dependency(server.url, "load")
    body = {"data": [None] * len(event["inputs"]), "fn_index": event["id"]}

    queue = f"{server.url}/web/gradio_api/queue"

    def join(session: str) -> int:
        given = body | {"session_hash": session}
        return httpx.post(f"{queue}/join", json=given, timeout=300).status_code

    *others, last = (uuid.uuid4().hex[:11] for _ in range(joins))
    with ThreadPoolExecutor(8) as visitors:
        statuses = Counter(visitors.map(join, others))
    statuses[join(last)] += 1
    asked = {"session_hash": last}
    with httpx.stream("GET", f"{queue}/data", params=asked, timeout=300) as answers:
        assert any("process_completed" in line for line in answers.iter_lines())
    return statuses
