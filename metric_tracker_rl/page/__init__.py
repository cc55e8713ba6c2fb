"""Views of the funnel in the debugger at /web, based on `openenv_kit.page`.

The package is imported only if the web interface is enabled.
"""
