"""The funnel's part of the debugger at /web, on top of `openenv_kit.page`.

It is imported only if the web interface is on.
"""
