"""The control endpoints under /sandbox/, for tests and people outside the process. No part of the API.

GET /sandbox/open, GET /sandbox/record[?bodies=1], GET, POST and DELETE /sandbox/faults, POST /sandbox/release,
POST /sandbox/complete, POST /sandbox/reset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.errors import UsageError
from reconciler.sandbox.answer import Answer, json_answer, message_answer
from reconciler.sandbox.record import Call, Processed
from reconciler.sandbox.service import Service

PREFIX: Final = "/sandbox/"
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


def control(service: Service, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Answer a control call; `target` is the path with its query, `headers` have lower-case names.

    400 for a text that is not UTF-8 or not in the fault language, 403 for a call that a web page could have made,
    404 for an unknown endpoint; each `{"message": …}`.
    """
    if "origin" in headers or headers.get("host", "").rpartition(":")[0] not in _LOCAL:
        return message_answer(403, "The control endpoints are for this machine only.")
    path, _, query = target.partition("?")
    action = _ACTIONS.get((method, path.removeprefix(PREFIX)))
    if action is None:
        return message_answer(404)
    try:
        return json_answer(action(service, body.decode(), query))
    except UnicodeDecodeError:
        return message_answer(400, "The body is not UTF-8.")
    except UsageError as error:
        return message_answer(400, str(error))


def _open(service: Service, _text: str, _query: str) -> Any:
    with service.changed:
        record = service.emulator.record
        return {
            "open": {
                externalid: {"provider": opened.provider, "copies": opened.copies}
                for externalid, opened in sorted(service.emulator.open.items())
            },
            "once": record.once_by_content.total(),
            "doubles": [double.externalid for double in record.doubles],
        }


def _record(service: Service, _text: str, query: str) -> Any:
    bodies = query == "bodies=1"
    with service.changed:
        record = service.emulator.record
        return {
            "calls": [_call(call, bodies=bodies) for call in record.calls],
            "processed": [_processed(entry, bodies=bodies) for entry in record.processed],
        }


def _call(call: Call, *, bodies: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "n": call.n,
        "method": call.method,
        "path": call.path,
        "at": call.at,
        "status": call.status,
        "fault": call.fault,
        "requestids": call.requestids,
    }
    return {**shown, "body": call.body.decode("utf-8", "replace")} if bodies else shown


def _processed(entry: Processed, *, bodies: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "call": entry.call,
        "action": entry.request.action,
        "requestid": entry.request.requestid,
        "externalid": entry.request.externalid,
        "provider": entry.provider,
        "outcome": entry.outcome,
        "reason": entry.reason,
    }
    return {**shown, "request": entry.request.body} if bodies else shown


def _faults(service: Service, _text: str, _query: str) -> Any:
    return {"faults": [str(fault) for fault in service.faults.waiting]}


def _add_faults(service: Service, text: str, _query: str) -> Any:
    return {"added": service.faults.add(text)}


def _clear_faults(service: Service, _text: str, _query: str) -> Any:
    service.faults.clear()
    return {}


def _release(service: Service, _text: str, _query: str) -> Any:
    service.release()
    return {"late_copies": len(service.release_late_copies())}


def _complete(service: Service, text: str, _query: str) -> Any:
    return {"completed": [externalid for externalid in text.splitlines() if service.complete(externalid)]}


def _reset(service: Service, _text: str, _query: str) -> Any:
    service.reset()
    return {}


_ACTIONS: Final[Mapping[tuple[str, str], Callable[[Service, str, str], Any]]] = {
    ("GET", "open"): _open,
    ("GET", "record"): _record,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "release"): _release,
    ("POST", "complete"): _complete,
    ("POST", "reset"): _reset,
}
