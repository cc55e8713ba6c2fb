"""Builds the header: name of the server, environment switch, links and theme."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from openenv_kit.environment import find_environment_entry_points
from openenv_kit.page.components.elements import button_html
from openenv_kit.page.environment_view import EnvironmentView
from openenv_kit.variables import SPACE_HOST_VARIABLE, SPACE_ID_VARIABLE


@dataclass(frozen=True)
class EnvironmentLink:
    """Link to the page of an environment.

    Attributes:
        environment_view: view of the environment.
        href: relative URL of the environment's page; empty for the current page.
    """

    environment_view: EnvironmentView
    href: str = ""


class DocumentationLinks(NamedTuple):
    """Where the header's links lead.

    Attributes:
        docs: URL of the documentation.
        source: URL of the source code; empty if it is unknown.
    """

    docs: str
    source: str


API_DOCUMENTATION_PATH = "../docs"
"""Path of this server's own documentation of its routes, relative to the page."""
SPACE_URL = "https://huggingface.co/spaces"


def find_documentation_links(environment_name: str) -> DocumentationLinks:
    """Return the links to documentation and source code.

    In a Space, both are files of the Space. Elsewhere they are the URLs `Documentation` and
    `Source` (or `Repository`) that the environment's package declares. If the package declares no
    documentation, the link leads to the documentation of the server's routes.

    Args:
        environment_name: name of an installed environment.
    """
    space = os.environ.get(SPACE_ID_VARIABLE, "")
    if space:
        files = f"{SPACE_URL}/{space}"
        return DocumentationLinks(f"{files}/blob/main/docs/index.md", f"{files}/tree/main")
    urls = _read_project_urls(environment_name)
    return DocumentationLinks(
        urls.get("documentation", API_DOCUMENTATION_PATH),
        urls.get("source", urls.get("repository", "")),
    )


def _read_project_urls(environment_name: str) -> dict[str, str]:
    """Return the URLs that an environment's package declares, by label in lower case."""
    entry_point = find_environment_entry_points().get(environment_name)
    if entry_point is None or entry_point.dist is None:
        return {}
    declared = entry_point.dist.metadata.get_all("Project-URL") or []
    pairs = [line.partition(",") for line in declared]
    return {label.strip().lower(): url.strip() for label, _, url in pairs}


def header_html(
    environment_view: EnvironmentView,
    environment_links: Sequence[EnvironmentLink],
    *,
    is_debug: bool = False,
) -> str:
    """Return the header: name of the server, environment switch, links and theme.

    The style sheet places the tabs inside it.
    """
    title = escape(environment_links[0].environment_view.environment.title)
    name = environment_view.environment.name
    badge = '<em class="mt-badge">debug mode</em>' if is_debug else ""
    theme = button_html(
        "theme", "", "Theme", hint="Switch between light and dark", css_class="link"
    )
    targets = find_documentation_links(name)
    links = "".join(
        f'<a href="{escape(url)}" target="_blank" rel="noopener">{label}</a>'
        for label, url in (("Docs", targets.docs), ("Source", targets.source))
        if url
    )
    space = ' data-space="yes"' if os.environ.get(SPACE_HOST_VARIABLE) else ""
    return (
        f'<header class="mt-head" data-environment="{escape(name)}"{space}><h1>'
        f'<a href="?" data-mt="home" title="To the first screen">{title}</a></h1>{badge}'
        f'<div class="mt-headlinks">{_environment_switch_html(environment_view, environment_links)}'
        f"{links}{theme}</div></header>"
        '<p class="mt-unseen" role="status" id="mt-announcement"></p>'
    )


def _environment_switch_html(
    environment_view: EnvironmentView, environment_links: Sequence[EnvironmentLink]
) -> str:
    """Return a menu with a link to each environment.

    The page's script adds the progress of the episode that this browser has saved, if any.
    """
    name = escape(environment_view.link_title)
    if len(environment_links) < 2:
        return f"<span>{name}</span>"
    links = "".join(map(_environment_link_html, environment_links))
    return (
        f'<details class="mt-menu"><summary aria-label="Environment: {name}">{name}</summary>'
        f'<nav aria-label="Environments">{links}</nav></details>'
    )


def _environment_link_html(link: EnvironmentLink) -> str:
    here = "" if link.href else ' aria-current="page"'
    view = link.environment_view
    return (
        f'<a class="mt-door" href="{escape(link.href or "./")}" '
        f'data-environment="{escape(view.environment.name)}"{here}>'
        f"{escape(view.link_title)}<em></em></a>"
    )
