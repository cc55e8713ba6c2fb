"""Sessions, which execute resets and steps and create the replies."""
