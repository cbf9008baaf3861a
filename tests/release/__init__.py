"""What people install: the wheel and the sdist, built and installed."""
