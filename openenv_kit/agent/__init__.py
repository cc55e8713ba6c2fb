"""The program behind `inference.py`: plays episodes with a model or a scripted policy.

`main` reads the settings, plans the episodes, finds or starts a server and plays each episode with
a player; `results` and `stdout` write the output. The program uses only the server's public
WebSocket interface, so agents outside this package can connect in the same way.
"""
