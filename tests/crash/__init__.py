"""The crash harness: the real command, killed at each of its effects, and the server's own record as the truth."""
