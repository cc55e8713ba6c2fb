"""Fixtures of the funnel's part of the debugger."""

from support.browser import _collect_garbage_after_module  # noqa: F401
from support.visitors import funnel_view  # noqa: F401
