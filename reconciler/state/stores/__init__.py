"""Where a state is kept, and who may write it."""
