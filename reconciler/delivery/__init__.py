"""A plan to requests to outcomes. May import planning and state; client is the only user of httpx."""
