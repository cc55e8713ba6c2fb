"""Fixtures of the debugger: servers, a Chromium and a visitor in it."""

from support.browser import _leaks_are_told_here, browser, small, visit, web  # noqa: F401
from support.visitors import funnel_view  # noqa: F401
