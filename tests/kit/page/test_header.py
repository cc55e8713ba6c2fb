"""Links in the page's header."""

from __future__ import annotations

from email.message import Message
from types import SimpleNamespace

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.page import header
from openenv_kit.page.environment_view import get_environment_view_or_default
from openenv_kit.page.header import (
    DocumentationLinks,
    EnvironmentLink,
    find_documentation_links,
    header_html,
)


@pytest.fixture(autouse=True)
def _no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("SPACE_HOST", raising=False)


def declare_urls(monkeypatch: pytest.MonkeyPatch, **urls: str) -> None:
    package = Message()
    for label, url in urls.items():
        package["Project-URL"] = f"{label}, {url}"
    entry_point = SimpleNamespace(dist=SimpleNamespace(metadata=package))
    monkeypatch.setattr(header, "find_environment_entry_points", lambda: {"mine": entry_point})


def test_links_are_the_urls_that_the_package_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    declare_urls(monkeypatch, Documentation="https://a.example/docs", Source="https://a.example/s")
    links = find_documentation_links("mine")
    assert links == DocumentationLinks("https://a.example/docs", "https://a.example/s")
    declare_urls(monkeypatch, Repository="https://a.example/r")
    assert find_documentation_links("mine") == DocumentationLinks("../docs", "https://a.example/r")


def test_package_without_urls_has_no_source_link(monkeypatch: pytest.MonkeyPatch) -> None:
    declare_urls(monkeypatch)
    assert find_documentation_links("mine") == DocumentationLinks("../docs", "")
    assert find_documentation_links("unknown") == DocumentationLinks("../docs", "")
    view = get_environment_view_or_default(get_environment("metric_tracker_rl"))
    html = header_html(view, [EnvironmentLink(view)])
    assert 'href="../docs"' in html
    assert "Source" not in html
    assert "data-space" not in html


def test_links_in_a_space_are_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "me/lab")
    monkeypatch.setenv("SPACE_HOST", "me-lab.hf.space")
    docs, source = find_documentation_links("metric_tracker_rl")
    assert docs == "https://huggingface.co/spaces/me/lab/blob/main/docs/index.md"
    assert source == "https://huggingface.co/spaces/me/lab/tree/main"
    view = get_environment_view_or_default(get_environment("metric_tracker_rl"))
    assert 'data-space="yes"' in header_html(view, [EnvironmentLink(view)])
