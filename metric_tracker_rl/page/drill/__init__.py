"""The drill-down tier's part of the debugger at /web.

It draws what replies have told. Only once a reply has told the roots does it look into the episode.
"""
