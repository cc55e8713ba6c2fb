"""Fixtures of the funnel's part of the debugger."""

from support.browser import _leaks_are_told_here  # noqa: F401
from support.visitors import funnel_view  # noqa: F401
