"""Visitors' endpoints under attack: which addresses are asked, what is sent, what comes back."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import resource
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile import SECRET, Hostile, Names, hostile_server, until

from openenv_kit.agent.chat import Answer
from openenv_kit.errors import ConfigurationError, InvalidValueError, ModelError
from openenv_kit.page import model as watched
from openenv_kit.page.addresses import addresses_of, is_allowed
from openenv_kit.page.model import ModelPlayback, model_settings
from openenv_kit.page.state import Visitor
from openenv_kit.page.visitor_client import (
    MAX_ANSWER_BYTES,
    PassingError,
    VisitorClient,
    endpoint_url,
)
from openenv_kit.page.visitor_endpoint import VisitorEndpoint
from openenv_kit.serving.settings import Settings

KEY = "sk-a-key-that-nobody-else-may-see"
PUBLIC = "93.184.216.34"

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1"),
    *("::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
]
NEVER = [
    *("169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1"),
    *("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fe80::1", "fe80::1%lo"),
    *("::", "ff02::1", "fec0::1", "::127.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::"),
    *("2001:0:7f00:1::1", "2001:db8::1"),
]
ALLOWED = ["8.8.8.8", PUBLIC, "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_server() as server:
        yield server


def client(url: str, **options: Any) -> VisitorClient:
    options = {"timeout_s": 30.0, "allow_private": True} | options
    return VisitorClient(httpx.URL(url), KEY, **options)


def ask(url: str, **options: Any) -> Answer:
    """One question through endpoint and client."""

    async def asking() -> Answer:
        settings = model_settings("https://example.org/v1", KEY, "m")
        endpoint = VisitorEndpoint(settings, client(url, **options))
        try:
            return await endpoint.ask([{"role": "user", "content": "hello"}], [])
        finally:
            await endpoint.close()

    return asyncio.run(asking())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a second try."""
    monkeypatch.setattr("openenv_kit.page.visitor_endpoint.RETRY_AFTER_S", 0.0)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_need_the_setting(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_allowed(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert not is_allowed(address, allow_private=False)
    assert not is_allowed(address, allow_private=True)


@pytest.mark.parametrize("text", ALLOWED)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text), allow_private=False)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0x7f000001", "017700000001"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "0"),
        *("169.254.169.254", "2852039166", "[fd00:ec2::254]"),
    ],
)
def test_no_spelling_of_an_inner_address_is_asked(host: str) -> None:
    with pytest.raises((ModelError, InvalidValueError)):  # some spellings are no URL at all
        endpoint_url(f"http://{host}:8000/v1", allow_private=False)
    assert addresses_of(host.strip("[]"), 8000, allow_private=False) == []


def test_the_refusal_of_a_private_address_names_the_setting() -> None:
    with pytest.raises(ModelError, match="METRIC_TRACKER_PRIVATE_ENDPOINTS=true"):
        endpoint_url("http://127.0.0.1:8000/v1", allow_private=False)
    assert endpoint_url("http://127.0.0.1:8000/v1", allow_private=True).port == 8000


@pytest.mark.parametrize(
    "url",
    [
        *("", "router", "ftp://example.org/", "file:///etc/passwd", "http://"),
        *(
            "http://example.org:0/",
            "http://example.org:99999/",
            "http://[::1",
            "http://" + "a" * 3000,
        ),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidValueError, match="allowed: an address such as"):
        endpoint_url(url, allow_private=True)


def test_an_address_with_a_password_is_refused_and_not_echoed() -> None:
    with pytest.raises(InvalidValueError, match="without a user name") as refused:
        endpoint_url("https://me:hunter22@example.org/v1", allow_private=False)
    assert "hunter22" not in str(refused.value)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    names = Names(mixed=[[PUBLIC, "10.0.0.5"]], good=[[PUBLIC]])
    assert addresses_of("mixed.test", 80, allow_private=False, lookup=names) == []
    assert addresses_of("good.test", 80, allow_private=False, lookup=names) == [PUBLIC]


def test_unknown_and_private_names_are_told_alike() -> None:
    names = Names(inner=[["10.0.0.5"]])
    said = []
    for host in ("inner.test", "other.test"):
        with pytest.raises(ModelError) as refused:
            ask(f"http://{host}/v1", allow_private=False, lookup=names)
        said.append(str(refused.value).replace(host, "HOST"))
    assert said[0] == said[1]


def test_a_name_is_looked_up_once_and_its_second_answer_changes_nothing(hostile: Hostile) -> None:
    """DNS rebinding: the first answer passes the check, the second would be another machine."""
    names = Names(rebound=[["127.0.0.1"], ["169.254.169.254"]])

    async def twice() -> list[int]:
        asking = client(hostile.url("secret", "rebound.test"), lookup=names)
        try:
            replies = [await asking.post("/x", b"{}") for _ in range(2)]
        finally:
            await asking.close()
        return [each.status_code for each in replies]

    assert asyncio.run(twice()) == [200, 200]
    assert names.asked == ["rebound.test"]
    assert {headers["host"] for _, headers in hostile.seen} == {f"rebound.test:{hostile.port}"}


def test_a_name_that_turns_private_is_not_followed(hostile: Hostile) -> None:
    names = Names(rebound=[[PUBLIC, "127.0.0.1"]])
    with pytest.raises(ModelError, match="not a public address"):
        ask(hostile.url("secret", "rebound.test"), allow_private=False, lookup=names)
    assert hostile.seen == []


def test_the_next_address_is_tried_where_one_cannot_be_connected_to(hostile: Hostile) -> None:
    names = Names(two=[["127.0.0.2", "127.0.0.1"]])  # the server listens on 127.0.0.1 only

    async def twice() -> None:
        asking = client(hostile.url("secret", "two.test"), lookup=names)
        for _ in range(2):
            assert (await asking.post("/x", b"{}")).status_code == 200
        await asking.close()

    asyncio.run(twice())


def test_only_our_own_headers_are_sent(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    for name, value in {
        "OPENAI_API_KEY": SECRET,
        "OPENAI_ORG_ID": SECRET,
        "OPENAI_PROJECT_ID": SECRET,
        "OPENAI_CUSTOM_HEADERS": f"Authorization: {SECRET}\nX-Inner: {SECRET}",
        "OPENAI_BASE_URL": hostile.url("error/500"),
        "HF_TOKEN": SECRET,
        # A proxy that is followed would be seen as a request for another path.
        "HTTP_PROXY": hostile.url("proxy"),
        "ALL_PROXY": hostile.url("proxy"),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelError):
        ask(hostile.url("secret/v1"))
    ((path, headers),) = hostile.seen
    assert path == "/secret/v1/chat/completions"
    assert headers.pop("content-length").isdigit()
    assert headers == {
        "host": f"127.0.0.1:{hostile.port}",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "metric-tracker-rl",
    }


def test_a_redirect_is_not_followed(hostile: Hostile) -> None:
    with pytest.raises(ModelError, match="redirects, which is not followed"):
        ask(hostile.url("redirect/v1"))
    assert hostile.deeds() == ["redirect"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "refused the request"),
        (401, "refused the key"),
        (402, "asks for credits"),
        (403, "does not let this key"),
        (404, "knows no such model"),
        (418, "refused the request"),
        (429, "limits the rate"),
        (500, "failed"),
        (599, "failed"),
    ],
)
def test_what_an_endpoint_says_about_a_failure_is_not_shown(
    hostile: Hostile, status: int, told: str, impatient: None
) -> None:
    with pytest.raises(ModelError, match=told) as failed:
        ask(hostile.url(f"error/{status}"))
    assert f"HTTP {status}" in str(failed.value)
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize("deed", ["secret", "secret_json", "nested", "odd"])
def test_an_answer_that_is_no_completion_is_not_shown(hostile: Hostile, deed: str) -> None:
    with pytest.raises(ModelError, match="sends no chat completions") as failed:
        ask(hostile.url(deed))
    assert SECRET not in str(failed.value)


@pytest.mark.slow
@pytest.mark.parametrize(("deed", "told"), [("bomb", "compresses"), ("endless", "longer than")])
def test_a_long_answer_costs_no_memory(hostile: Hostile, deed: str, told: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=told):
        ask(hostile.url(deed))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 64 * MAX_ANSWER_BYTES  # 200 MB inflated would be 800 of these


@pytest.mark.slow
def test_an_endpoint_that_drips_bytes_runs_out_of_time(hostile: Hostile, impatient: None) -> None:
    with pytest.raises(PassingError, match="did not answer within 1 s"):
        ask(hostile.url("drip"), timeout_s=1.0)
    assert hostile.deeds() == ["drip", "drip"]  # one more try


def test_a_host_that_nobody_answers_at_is_told(impatient: None) -> None:
    with hostile_server() as server:
        url = server.url("secret")
    with pytest.raises(PassingError, match="No connection to the endpoint"):
        ask(url)


TLS = """
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
context.sni_callback = lambda _, name, __: print("sni", name, flush=True)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    made = tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=model.test"]
    command += ["-addext", "subjectAltName=DNS:model.test"]
    try:
        subprocess.run(
            [*command, "-keyout", str(made), "-out", str(tmp_path / "public.pem")],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    made.write_text(made.read_text() + (tmp_path / "public.pem").read_text())
    return made


@pytest.mark.slow
def test_the_certificate_is_checked_against_the_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.parent / "public.pem"))
    names = Names(model=[["127.0.0.1"]], other=[["127.0.0.1"]])
    with subprocess.Popen(
        [sys.executable, "-c", TLS, str(certificate)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()

        async def post(host: str) -> int:
            asking = client(f"https://{host}:{port}/v1", lookup=names)
            try:
                return (await asking.post("/x", b"{}")).status_code
            finally:
                await asking.close()

        try:
            assert asyncio.run(post("model.test")) == 200
            assert server.stdout.readline() == "sni model.test\n"
            with pytest.raises(PassingError):
                asyncio.run(post("other.test"))
        finally:
            server.terminate()


def test_a_key_goes_to_the_endpoint_it_was_entered_for_and_to_no_other() -> None:
    visitor = Visitor()
    assert visitor.key_for("https://one.test/v1", KEY) == KEY
    assert visitor.key_for("https://one.test/v1", "") == KEY
    assert visitor.key_for("https://evil.test/v1", "") == ""
    assert visitor.key_for("https://one.test/v1", "") == "", "a key once forgotten stays forgotten"
    visitor.key_for("https://one.test/v1", KEY)
    visitor.forget_key()
    assert visitor.key_for("https://one.test/v1", "") == ""


@pytest.mark.parametrize("key", ["", " ", "two\nlines", "schlüssel", "k" * 2000])
def test_a_key_that_cannot_be_sent_is_refused_and_not_echoed(key: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^key is") as refused:
        model_settings("https://example.org/v1", key, "m")
    assert not key.strip() or key not in str(refused.value)


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Settings(private_endpoints=True, max_watched_models=2)
    monkeypatch.setattr(watched, "server_settings", lambda: chosen)


def watch(url: str) -> ModelPlayback:
    return ModelPlayback(model_settings(url, KEY, "m"), {"task_id": "easy_single_spike"})


def test_models_that_are_watched_are_bounded_and_seats_come_back(
    hostile: Hostile, private: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = threading.BoundedSemaphore(2)
    monkeypatch.setattr(watched, "seats", lambda: two)
    plays = [watch(hostile.url("drip")) for _ in range(2)]
    with pytest.raises(ConfigurationError, match=r"2 model\(s\) are being watched"):
        watch(hostile.url("drip"))
    plays[0].close()
    assert until(lambda: not plays[0]._thread.is_alive())
    with pytest.raises(ConfigurationError, match="no such task"):
        ModelPlayback(model_settings(hostile.url("drip"), KEY, "m"), {"task_id": "no such task"})
    again = watch(hostile.url("drip"))
    for each in (plays[1], again):
        each.close()
        assert until(lambda each=each: not each._thread.is_alive())


def test_a_model_that_nobody_watches_any_more_is_stopped(
    hostile: Hostile, private: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "PATIENCE_S", 0.0)
    play = watch(hostile.url("surrogate"))
    assert until(lambda: play.finished)
    assert play.remark == "The model was stopped: nobody looked at its moves any more."


def test_halves_of_characters_never_reach_the_page(hostile: Hostile, private: None) -> None:
    play = watch(hostile.url("surrogate"))
    assert until(lambda: len(play.frames) > 2)
    play.close()
    assert until(lambda: not play._thread.is_alive())
    for frame in play.frames:
        json.dumps([frame.action, frame.observation], ensure_ascii=False).encode()
    assert play.frames[1].action["analysis_args"] == {"date": "?"}


def test_a_fault_of_ours_ends_the_play_with_a_word(
    hostile: Hostile, private: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> Answer:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(VisitorEndpoint, "ask", broken)
    play = watch(hostile.url("secret"))
    assert until(lambda: play.finished)
    assert "through a fault of this server" in play.remark
    assert SECRET not in play.remark


def test_the_system_checks_certificates_of_visitors_endpoints() -> None:
    transport = client("https://example.org/v1")._transport
    context = transport._pool._ssl_context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
