"""The world: services, the calls between them, and one tick of thirty seconds."""
