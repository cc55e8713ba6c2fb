"""The Chromium that the tests of the documentation open it in."""

from support.browser import browser  # noqa: F401
