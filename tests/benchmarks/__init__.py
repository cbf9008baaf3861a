"""What it costs, beside peers: `make bench`."""
