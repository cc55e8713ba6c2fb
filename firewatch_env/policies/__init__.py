"""Players: the reference, the rules that clients of this kind carry, and blind ones."""
