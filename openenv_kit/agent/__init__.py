"""The program behind `inference.py`: plays episodes with a model or a scripted policy.

`main` reads the settings, plans the episodes, finds or starts a server and plays each episode with
a player; `results` and `stdout` write what came out. The program uses only the server's public
WebSocket interface, so an agent elsewhere can do the same.
"""
