"""What is open, pending and failed: the model, its transitions, its bytes. May import interaction and errors."""
