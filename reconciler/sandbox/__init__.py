"""The documented API, emulated on loopback, as much of it as trying and rehearsing need: docs/sandbox.md."""
