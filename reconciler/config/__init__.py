"""The settings of a run, from flags, environment, file and defaults. May import yamlfile."""
