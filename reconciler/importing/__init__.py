"""What others wrote, tables and API bodies, to declarations. May import declarations and yamlfile."""
