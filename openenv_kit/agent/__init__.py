"""What `inference.py` is made of.

settings → plan → servers → connection → table → players (scripted, model) → results.
It talks to the environment through the public WebSocket client alone, so an agent elsewhere can
do whatever it does.
"""
