"""Spans of a run: in a file that a viewer opens, and at a collector, with nothing in them that must not leave."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tests.api import SandboxServer
from tests.command import Workplace
from tests.test_imports import loaded

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SECRET = "+447700900123"
ONE = f"""
provider: Crm
interactions: [{{externalid: customer-17, route: R, linkeddata: [{{type: clid, value: "{SECRET}"}}]}}]
"""
STAGES = ["load", "settings", "read the state", "read the declarations", "compare"]
SENT = ["save", "invoke", "save"]


class Collector(ThreadingHTTPServer):
    """An OTLP collector, as far as it takes spans over HTTP."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.batches: list[ResourceSpans] = []

    @property
    def spans(self) -> list[Span]:
        """All spans, in the order in which they ended."""
        found = [span for batch in self.batches for scope in batch.scope_spans for span in scope.spans]
        return sorted(found, key=lambda span: span.end_time_unix_nano)


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Take them."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.batches += ExportTraceServiceRequest.FromString(body).resource_spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector(place: Workplace) -> Iterator[Collector]:
    """Give a collector that the environment names."""
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        place.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.shutdown()
        thread.join()


def facts(span: Span) -> dict[str, Any]:
    """Return a span's attributes."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def test_a_collector_gets_spans(place: Workplace, server: SandboxServer, collector: Collector) -> None:
    """Stages, saves and each call lie in one span, which belongs to the caller's trace; the API hears nothing of it."""
    place.declare(ONE)
    server.faults.add(f"status=503 retry-after=0 message='no {SECRET}'")
    ran = place.run("apply", "--auto-approve", env={"TRACEPARENT": TRACEPARENT})
    assert ran.code == 0
    *inner, root = collector.spans
    assert [span.name for span in inner] == [*STAGES, "save", "invoke", "invoke", "save"]
    assert (root.name, root.trace_id.hex(), root.parent_span_id.hex()) == ("reconciler apply", TRACE, PARENT)
    assert facts(root) == {"reconciler.command": "apply", "process.exit.code": 0}
    assert {span.parent_span_id for span in inner} == {root.span_id}
    assert root.start_time_unix_nano <= min(span.start_time_unix_nano for span in inner)
    calls = [facts(span) for span in inner if span.name == "invoke"]
    assert [(call["reconciler.attempt"], call["http.response.status_code"]) for call in calls] == [(1, 503), (2, 200)]
    assert {(call["reconciler.provider"], call["reconciler.requests"]) for call in calls} == {("Crm", 1)}
    (resource,) = collector.batches
    assert '"reconciler"' in str(resource.resource)
    assert not any(word in str(collector.batches) for word in (SECRET, "customer-17", "planted-secret"))
    assert not any("traceparent" in str(call.headers).lower() for call in server.calls)


def test_a_plan_has_spans(place: Workplace, collector: Collector) -> None:
    """So has a plan, and a run that fails; a service that is named keeps its name."""
    place.declare(ONE)
    place.run("plan", env={"OTEL_SERVICE_NAME": "mine"})
    assert [span.name for span in collector.spans] == [*STAGES, "show and save", "reconciler plan"]
    assert '"mine"' in str(collector.batches)
    collector.batches.clear()
    assert place.run("plan", "--target=nix").code == 64
    root = collector.spans[-1]
    assert (facts(root)["process.exit.code"], root.status.code) == (64, root.status.STATUS_CODE_ERROR)


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"TRACEPARENT": f"00-{TRACE}-{PARENT}-00"},
    ],
)
def test_nothing_is_exported_that_is_not_wanted(place: Workplace, collector: Collector, env: dict[str, str]) -> None:
    """Where OpenTelemetry is switched off, its caller did not sample, or another protocol is asked for."""
    place.declare(ONE)
    ran = place.run("apply", "--auto-approve", env=env)
    assert (ran.code, collector.spans) == (0, [])
    assert ("by grpc none can be" in ran.err) == ("OTEL_EXPORTER_OTLP_PROTOCOL" in env)


def test_a_collector_that_is_gone(place: Workplace) -> None:
    """All is done and saved, the exit code is the same, and that nothing was exported is said."""
    place.declare(ONE)
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    ran = place.run("apply", "--auto-approve", env=nowhere)
    assert (ran.code, len(place.state["interactions"])) == (0, 1)
    assert ran.err.count("spans could not be exported") == 1


def test_without_the_packages(place: Workplace) -> None:
    """What to install is said, and the run goes on."""
    place.declare(ONE)
    with mock.patch.dict(sys.modules, {"opentelemetry.sdk": None, "opentelemetry": None}):
        ran = place.run("apply", "--auto-approve", env={"OTEL_TRACES_EXPORTER": "otlp"})
    assert ran.code == 0
    assert "pip install 'vcc-reconciler[otel]'" in ran.err


def test_nothing_of_it_is_loaded_unless_it_is_asked_for(place: Workplace) -> None:
    """A plan without any of the variables loads none of it."""
    place.declare(ONE)
    used = loaded("plan", "--sandbox", folder=place.folder)
    assert not [
        name for name in used if name.startswith(("opentelemetry", "reconciler.cli.otel", "reconciler.cli.spans"))
    ]


# -- a file ------------------------------------------------------------------------------------------------------------


def test_a_trace_file(place: Workplace) -> None:
    """`--trace` writes Chrome's format without any package: complete events in microseconds, each within the whole."""
    place.declare(ONE)
    for env in ({"TRACEPARENT": TRACEPARENT}, {"TRACEPARENT": "made up"}):
        assert place.run("apply", "--auto-approve", "--trace=t.json", env=env).code == 0
        named, *inner, whole = json.loads((place.folder / "t.json").read_bytes())
        assert (named["ph"], named["args"]["name"]) == ("M", "reconciler apply")
        assert [span["name"] for span in inner] == [*STAGES, *(SENT if env["TRACEPARENT"] == TRACEPARENT else [])]
        assert whole["args"].get("traceparent", "made up") == env["TRACEPARENT"]
        for span in inner:
            assert whole["ts"] <= span["ts"]
            assert span["ts"] + span["dur"] <= whole["ts"] + whole["dur"]
    assert SECRET not in (place.folder / "t.json").read_text()


def test_the_trace_of_a_run_that_was_killed(place: Workplace, server: SandboxServer) -> None:
    """It lacks its end, as the format allows, and is whole up to there."""
    place.declare(ONE)
    server.faults.add("hang")
    with place.spawn("apply", "--auto-approve", "--trace=t.json") as process:
        server.wait_until(lambda: server.hanging == 1, 60)
        process.kill()
    text = (place.folder / "t.json").read_text()
    assert [span["name"] for span in json.loads(text.removesuffix(",\n") + "]")][1:] == [*STAGES, "save"]
    server.release()


def test_a_trace_stands_in_nobodys_way(place: Workplace) -> None:
    """A full disk stops nothing, and a state is not overwritten."""
    place.declare(ONE)
    before = place.state_path.read_bytes()
    assert place.run("apply", "--auto-approve", "--trace=reconciler.state.json").code == 64
    assert place.state_path.read_bytes() == before
    ran = place.run("apply", "--auto-approve", "--trace=/dev/full")
    assert (ran.code, ran.err.count("the trace can't be written: No space left on device")) == (0, 1)
