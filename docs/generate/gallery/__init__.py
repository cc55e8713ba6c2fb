"""The gallery: a page for each family of each environment, with a section for each level.

A room is an environment's part of it, or a tier's; `rooms` says what one has to tell.
"""
