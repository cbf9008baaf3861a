"""The sandbox as tests need it: everything recorded, more faults, and other assumptions where the API is silent."""

from tests.api.assumptions import FailedDuplicate, Redispatch, SandboxConfig
from tests.api.record import Call, Double, Handling, Processed, Record
from tests.api.server import SandboxServer

__all__ = [
    "Call",
    "Double",
    "FailedDuplicate",
    "Handling",
    "Processed",
    "Record",
    "Redispatch",
    "SandboxConfig",
    "SandboxServer",
]
