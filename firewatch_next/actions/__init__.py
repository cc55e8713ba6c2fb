"""Tools that change the system."""
