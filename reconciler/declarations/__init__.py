"""Files to interactions: what a declaration may hold, and every problem with its place. May import yamlfile."""
