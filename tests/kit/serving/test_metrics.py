"""Metrics: their port, all workers together, alerts and dashboard."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pipe_leak import PipeLeak
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from openenv_kit.errors import ConfigurationError
from openenv_kit.serving import metrics, metrics_export
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes.ids import EpisodeAccess
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.worker_threads import WORKER_THREAD_COUNT
from openenv_kit.serving.periodic_tasks import end_expired_and_update_metrics
from openenv_kit.serving.settings import Settings, load_settings
from support.live_server import await_health, free_port, start_server
from support.paths import ROOT

TOKEN = "a-token-long-enough"
LIST = {"analysis_method": "list_dates"}
NAME = re.compile(r"\b(?:openenv_kit|process)_\w+")


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def values(text: str) -> dict[str, float]:
    """Sums of an exposition, by the name of their samples."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


# The port.


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of a server of two workers with a token, and of its metrics."""
    folder = tmp_path_factory.mktemp("metrics")
    port, metrics_port = free_port(), free_port()
    env = {
        **os.environ,
        "OPENENV_KIT_EPISODE_STORE": str(folder / "s.db"),
        "OPENENV_KIT_METRICS_PORT": str(metrics_port),
        "OPENENV_KIT_TOKEN": TOKEN,
    }
    with (folder / "log").open("wb") as log:
        server = start_server("--port", str(port), "--workers", "2", env=env, stderr=log)
    try:
        await_health(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics"
    finally:
        server.terminate()
        server.wait(30)


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url) as answer:
        return values(answer.read().decode())


@pytest.mark.slow
def test_metrics_port_of_two_workers_has_both_and_asks_for_no_token(
    two_workers: tuple[str, str],
) -> None:
    server, address = two_workers
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=server, headers=headers) as client:
        for _ in range(8):
            episode_id = client.post("/reset", json={}).json()["episode_id"]
            client.post("/step", json={"episode_id": episode_id, "action": {}})
        found = scrape(address)
        while found["openenv_kit_workers"] < 2:  # the second one is still starting
            found = scrape(address)
        assert found["openenv_kit_episodes_started_total"] == 8
        assert found["openenv_kit_episodes_ended_total"] == 8
        assert found["openenv_kit_store_up"] == 1
        assert found["openenv_kit_threads"] == 2 * WORKER_THREAD_COUNT
        for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds"):
            assert found[f"process_{name}"] > 0
        here = client.get("/metrics")
        assert values(here.text).keys() == found.keys()
    assert httpx.get(f"{server}/metrics").status_code == 401


def test_process_figures_of_several_workers_are_added_up() -> None:
    one = {f.name: f.samples[0].value for f in metrics_export.sum_process_metrics([os.getpid()])}
    two = {
        f.name: f.samples[0].value for f in metrics_export.sum_process_metrics([os.getpid()] * 2)
    }
    assert two["process_open_fds"] > 1.5 * one["process_open_fds"]
    assert two["process_start_time_seconds"] == one["process_start_time_seconds"]


def test_metrics_port_is_on_loopback_unless_a_setting_says_otherwise() -> None:
    assert load_settings({}).metrics_host == "127.0.0.1"
    assert load_settings({"OPENENV_KIT_METRICS_HOST": "0.0.0.0"}).metrics_host == "0.0.0.0"


def test_metrics_port_taken_refuses_only_one_that_was_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asked = Settings(metrics_port=port)
        with (
            pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} .*OPENENV_KIT_METRICS_PORT"),
            metrics_export.serve_metrics_on_own_port(asked),
        ):
            pass
        usual = Settings.model_construct(_fields_set=set(), **asked.model_dump())
        with caplog.at_level("WARNING"), metrics_export.serve_metrics_on_own_port(usual):
            assert caplog.records[-1].getMessage() == "failed to open the metrics port"


def test_metrics_port_0_opens_none() -> None:
    with metrics_export.serve_metrics_on_own_port(Settings(metrics_port=0)):
        pass


def test_a_space_without_a_token_shows_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "me-lab.hf.space")
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        assert client.get("/metrics").status_code == 404
    with TestClient(build_app(Settings(episode_store="memory", token=TOKEN))) as client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/metrics", headers=headers).status_code == 200


# The figures.


def test_duration_buckets_reach_half_a_minute() -> None:
    for histogram in (
        metrics.RESET_SECONDS,
        metrics.STEP_SECONDS,
        metrics.REQUEST_SECONDS,
        metrics.STORE_CALL_SECONDS,
    ):
        assert histogram._upper_bounds[-2] >= 30


async def test_step_that_waits_for_another_counts_with_its_wait() -> None:
    episodes = EpisodeService(Settings(episode_store="memory"))
    handle = (await episodes.reset({"seed": 5})).access
    assert handle is not None
    before = count("openenv_kit_step_seconds_sum", method="list_dates")
    async with episodes._loader.cache.get_or_add_entry_within_max_episodes(handle.episode_id).lock:
        step = asyncio.create_task(episodes.step(EpisodeAccess(handle.episode_id), LIST))
        await asyncio.sleep(0.2)
    await step
    assert count("openenv_kit_step_seconds_sum", method="list_dates") - before >= 0.2
    await episodes.close_store_and_clear_cache()


def test_episodes_are_counted_by_environment_and_reason() -> None:
    labels = {"environment": "metric_tracker_rl", "transport": "http"}
    names = ("openenv_kit_episodes_started_total", "openenv_kit_episodes_ended_total")
    before = count(names[0], **labels), count(names[1], **labels, reason="completed")
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        for _ in range(2):
            episode_id = client.post("/reset", json={}).json()["episode_id"]
        client.post("/step", json={"episode_id": episode_id, "action": {}})
    after = count(names[0], **labels), count(names[1], **labels, reason="completed")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)


def test_upkeep_measures_the_store_and_what_environments_report() -> None:
    class Reporting(PipeLeak):
        """Says how many pumps run."""

        @property
        def tools(self) -> Any:
            return replace(super().tools, gauges={"pumps": lambda: 3})

    environment: Any = Reporting()
    settings = Settings(episode_store="memory")
    app = build_app(settings, environment)
    with TestClient(app) as client:
        client.post("/reset", json={})
        client.portal.call(
            end_expired_and_update_metrics, app.state.episodes.store, settings, [environment]
        )  # type: ignore[union-attr]
    labels = {"environment": environment.name, "gauge": "pumps"}
    assert count("openenv_kit_environment_gauge", **labels) == 3
    assert count("openenv_kit_store_episodes") == 1
    assert count("openenv_kit_store_up") == 1
    assert 0 < count("openenv_kit_store_bytes") < count("openenv_kit_store_limit_bytes")


def test_metrics_report_a_missing_store(tmp_path: Path) -> None:
    settings = Settings(episode_store=str(tmp_path / "s.db"))
    app = build_app(settings)
    with TestClient(app) as client:
        (tmp_path / "s.db").unlink()
        client.portal.call(end_expired_and_update_metrics, app.state.episodes.store, settings, [])  # type: ignore[union-attr]
    assert count("openenv_kit_store_up") == 0


# What is built on them.


def exported() -> set[str]:
    """Names of every sample that a server may export."""
    suffixes = ("", "_total", "_count", "_sum", "_bucket")
    return {f.name + suffix for f in REGISTRY.collect() for suffix in suffixes}


def alerts() -> dict[str, Any]:
    text = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    return {
        rule["alert"]: rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]
    }


def test_alerts_ask_only_for_metrics_that_exist() -> None:
    asked = {name for rule in alerts().values() for name in NAME.findall(rule["expr"])}
    assert len(asked) > 10
    assert asked - exported() == set()


def test_every_alert_is_in_the_runbook_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    runbook = page.split("\n## Runbook\n")[1].split("\n## ")[0]
    sections = dict(re.findall(r"^### (\w+)\n\n(.+?)(?=\n### |\Z)", runbook, re.M | re.S))
    assert list(sections) == list(alerts())
    for name, text in sections.items():
        assert len(text.split()) > 15, name


def test_prometheus_reads_the_alerts_and_the_metrics_port() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    config = yaml.safe_load(text)
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"server:{Settings().metrics_port}"]}]
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[1] for volume in compose["prometheus"]["volumes"]]
    assert set(config["rule_files"]) < set(mounted)
    assert compose["server"]["environment"] == {"OPENENV_KIT_METRICS_HOST": "0.0.0.0"}
    assert not [port for port in compose["server"]["ports"] if port.endswith("9464")]
    assert {rule["expr"].count('job="') for rule in alerts().values()} <= {0, 1, 2}
    for rule in alerts().values():
        assert set(re.findall(r'job="([^"]+)"', rule["expr"])) <= {job["job_name"]}


def test_dashboard_shows_waiting_store_and_processes() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in NAME.findall(target["expr"])
    }
    assert asked - exported() == set()
    assert {
        "openenv_kit_waiting_resets",
        "openenv_kit_store_bytes",
        "openenv_kit_episodes_ended_total",
        "openenv_kit_environment_gauge",
        "process_resident_memory_bytes",
    } <= asked


def test_counters_equal_the_requests() -> None:
    method = {"method": "list_dates"}
    before = (
        count("openenv_kit_step_seconds_count", **method),
        count("openenv_kit_score_count"),
        count("openenv_kit_errors_total", kind="step"),
    )
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        with client.websocket_connect("/ws") as socket:
            for data in ({"analysis_method": "list_dates"}, {"analysis_method": "nope"}, {}):
                if data == {"analysis_method": "list_dates"}:
                    socket.send_json({"type": "reset"})
                    socket.receive_json()
                    assert count("openenv_kit_sessions") == 1
                socket.send_json({"type": "step", "data": data})
                socket.receive_json()
        body = client.get("/metrics")
    assert body.headers["content-type"].startswith("text/plain")
    after = (
        count("openenv_kit_step_seconds_count", **method),
        count("openenv_kit_score_count"),
        count("openenv_kit_errors_total", kind="step"),
    )
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]
    assert count("openenv_kit_sessions") == 0
    assert "nope" not in body.text  # a caller cannot invent labels


def test_the_dashboard_asks_only_for_figures_that_exist() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"openenv_kit_\w+", target["expr"])
    }
    families = {family.name for family in REGISTRY.collect()}
    known = {
        family + suffix
        for family in families
        for suffix in ("", "_total", "_count", "_sum", "_bucket")
    }
    assert len(asked) > 8
    assert asked - known == set()
