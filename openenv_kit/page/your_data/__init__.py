"""Imports visitors' own tables: the uploads, the child process, the routes and their HTML."""
