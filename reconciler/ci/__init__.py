"""Pipelines: what a platform tells and is told, and which changes of a plan were reviewed. May import all but cli."""
