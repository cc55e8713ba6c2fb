"""Clients that play one episode, in this process or on a server."""
