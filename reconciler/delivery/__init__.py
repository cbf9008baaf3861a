"""A plan to requests to outcomes. May import planning and state; connection is the only user of httpx."""
