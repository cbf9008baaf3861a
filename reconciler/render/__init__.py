"""Renderers: each returns a string, and prints nothing."""
