"""Fixtures of the page's tests: servers with the page on, a Chromium, a visitor's page."""

from support.browser import _leaks_are_told_here, browser, small, visit, web  # noqa: F401
