"""Imports of visitors' own tables: uploads, the child process, the routes and their HTML."""
