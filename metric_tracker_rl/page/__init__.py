"""The funnel's part of the debugger at /web, based on `openenv_kit.page`.

This package is imported only if the web interface is enabled.
"""
