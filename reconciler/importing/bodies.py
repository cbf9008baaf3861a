"""Request bodies of the API to declarations: what they dispatch is declared.

Pure. `action` and `requestid` stand for sending, not for what should be open: they are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from reconciler.declarations.messages import problem_at, suggestion
from reconciler.declarations.schema import ON_CHANGE
from reconciler.errors import Problem
from reconciler.escape import brief
from reconciler.interaction import Place
from reconciler.yamlfile.document import Document, Path
from reconciler.yamlfile.scalars import describe

_BODY: Final = ("provider", "requests")
_ACTIONS: Final = ("dispatch", "release")


@dataclass(slots=True)
class Body:
    """A body: what it dispatches, as a document of declarations; the externalids that it releases; what is wrong."""

    document: Document
    released: list[tuple[str, Place]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def body_of(document: Document, name: str) -> Body:
    """Return what a body says; it is taken apart, so that each value keeps its place."""
    value = document.value
    body = Body(Document(None, document.start, document.marks, document.texts, document.has_null))
    if not isinstance(value, dict):
        said = f"a request body must be a mapping, this is {describe(value)}"
        body.problems.append(problem_at(document, name, (), ("not-a-mapping", said, "")))
        return body
    if not isinstance(value.get("requests"), list):
        hint = "for a table, name a mapping: --mapping FILE"
        said = "the body has no list 'requests'"
        body.problems.append(problem_at(document, name, ("requests",), ("missing-field", said, hint)))
        return body
    for key in value.keys() - set(_BODY):
        close = suggestion(key, _BODY)
        hint = f"did you mean '{close}'?" if close else "a body has `provider` and `requests`"
        said = f"unknown field '{brief(key)}' in a request body"
        body.problems.append(problem_at(document, name, (key,), ("unknown-field", said, hint), key=True))
    _take_requests(body, document, name)
    return body


def _take_requests(body: Body, document: Document, name: str) -> None:
    requests: list[Any] = document.value["requests"]
    marks, items = document.marks, list[Any]()
    places = marks[id(items)] = marks[id(requests)][:1]
    for index, request in enumerate(requests):
        mark = marks[id(requests)][index + 1]
        if not isinstance(request, dict):
            items.append(request)
            places.append(mark)
            continue
        action = request.get("action", _ACTIONS[0])
        if action == "release" and isinstance(request.get("externalid"), str):
            body.released.append((request["externalid"], Place(name, mark.line + 1, mark.column + 1)))
            continue
        if action != "dispatch":
            said = "a release has no externalid" if action == "release" else "action must be dispatch or release"
            path: Path = ("requests", index, "action")
            body.problems.append(problem_at(document, name, path, ("unknown-value", f"requests[{index}]: {said}", "")))
        _declare(request, document, f"{PurePosixPath(name).stem}-{index + 1}")
        items.append(request)
        places.append(mark)
    body.document.value = {"interactions": items}
    marks[id(body.document.value)] = [document.start, document.start, places[0]]


def _declare(request: dict[str, Any], document: Document, name: str) -> None:
    """Make a request the declaration of what it dispatches; without an externalid, it is a once of some name."""
    requestid = _dropped(request, "requestid", document)
    _dropped(request, "action", document)
    mark = document.marks[id(request)][0]
    if not {key.lower() for key in request} & ON_CHANGE.keys():  # one that is spelt otherwise is told of
        request["once"] = requestid if isinstance(requestid, str) and requestid else name
        document.marks[id(request)] += mark, mark
    if "provider" in document.value and "provider" not in request:
        request["provider"] = document.value["provider"]
        document.marks[id(request)] += document.mark(("provider",), key=True), document.mark(("provider",))


def _dropped(request: dict[str, Any], key: str, document: Document) -> Any:
    """Remove a key with its places, and return what stood there."""
    if key not in request:
        return None
    at = 2 * list(request).index(key) + 1
    del document.marks[id(request)][at : at + 2]
    return request.pop(key)
