"""Clients that play one episode, in this process or on a server.

`protocol.EpisodeClient` is their common interface. Import each client from its own module:
`websocket` loads the framework, the other modules do not.
"""
