"""The documented API, emulated on loopback: for first steps without an account, for cassettes and our own tests."""

from reconciler.sandbox.config import FailedDuplicate, Redispatch, SandboxConfig
from reconciler.sandbox.faults import Fault, Faults, Match, parse
from reconciler.sandbox.server import SandboxServer, serve

__all__ = [
    "FailedDuplicate",
    "Fault",
    "Faults",
    "Match",
    "Redispatch",
    "SandboxConfig",
    "SandboxServer",
    "parse",
    "serve",
]
