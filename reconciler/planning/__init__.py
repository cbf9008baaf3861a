"""Declared interactions and a state to a plan: pure. May import state and interaction."""
