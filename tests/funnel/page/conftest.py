"""What the tests of the funnel's part of the page share."""

from support.browser import _leaks_are_told_here  # noqa: F401
