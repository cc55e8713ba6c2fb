"""What `inference.py` is made of.

settings → jobs → servers → connection → players (scripted, model) → outcome → results.
Everything here talks to the environment over the public WebSocket client alone, so whatever it
can do, an agent elsewhere can do.
"""
