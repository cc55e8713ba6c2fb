"""The session that runs episodes, the parser of actions and the replies to submitted reports."""
