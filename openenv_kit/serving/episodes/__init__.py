"""Episodes on a server: ids, live episodes, and the service for stored episodes."""
