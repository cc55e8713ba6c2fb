"""The Chromium that the tests of written pages open them in."""

from support.browser import browser  # noqa: F401
