"""HTTP routes, the middleware in front of them, and access control."""
