"""Fixtures of the debugger: servers, a Chromium and a visitor in it."""

from support.browser import _collect_garbage_after_module, browser, small, visit, web  # noqa: F401
from support.visitors import funnel_view  # noqa: F401
