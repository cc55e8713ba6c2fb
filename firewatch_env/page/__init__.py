"""The incident's part of the debugger at /web; what any environment needs is `openenv_kit.page`.

Imported only where the web interface is on.
"""
