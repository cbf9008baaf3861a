"""Spans for a collector, by OpenTelemetry: the only user of it. Its own variables (OTEL_…) configure it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from reconciler import DISTRIBUTION, __version__
from reconciler.cli.console import Console

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

    from reconciler.cli.spans import Span

_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


def wanted(environ: Mapping[str, str], console: Console) -> bool:
    """Whether spans are to be exported, and can be; where they can't, that is said."""
    chosen = environ.get("OTEL_TRACES_EXPORTER", "")
    named = next((name for name in _ENDPOINTS if environ.get(name)), "OTEL_TRACES_EXPORTER" if chosen else "")
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or chosen not in {"", "otlp"} or not named:
        return False
    protocol = next((value for name in _PROTOCOLS if (value := environ.get(name))), _PROTOCOL)
    if protocol != _PROTOCOL:
        console.warn(f"no spans are exported: by {protocol} none can be", f"Set {_PROTOCOLS[0]}={_PROTOCOL}.")
    elif not all(map(_installed, _NEEDED)):
        console.warn(
            f"no spans are exported: {named} is set, but OpenTelemetry is not installed",
            f"pip install '{DISTRIBUTION}[otel]', or set OTEL_SDK_DISABLED=true.",
        )
    else:
        return True
    return False


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would lie in
        return False


class Otel:
    """A spans.Sink that exports at the end: a collector that is slow or gone delays nothing before all is saved."""

    def __init__(self, environ: Mapping[str, str], console: Console) -> None:
        self._environ = environ
        self._console = console
        self._kept: list[Span] = []

    def begin(self) -> None:
        """See Sink."""

    def add(self, span: Span) -> None:
        """See Sink."""
        self._kept.append(span)

    def end(self, whole: Span) -> None:
        """See Sink; it takes OTEL_EXPORTER_OTLP_TIMEOUT at most."""
        failures = _Failures()
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(failures)
        logger.propagate = False
        try:
            self._export(whole)
        except Exception as error:  # noqa: BLE001  # all is saved: whatever a library says must not look like a failure
            failures.reason = f"{type(error).__name__} {error}"
        finally:
            logger.removeHandler(failures)
        if failures.reason:
            self._console.warn(f"spans could not be exported: {failures.reason}")

    def _export(self, whole: Span) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        provider = TracerProvider(resource=Resource.create(self._resource()), shutdown_on_exit=False)
        # Its queue takes all: what does not fit would be left out without a word.
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=len(self._kept) + 512))
        tracer = provider.get_tracer("reconciler", __version__)
        carrier = {name.lower(): self._environ.get(name, "") for name in ("TRACEPARENT", "TRACESTATE")}
        root = _started(tracer, whole, TraceContextTextMapPropagator().extract(carrier))
        for span in self._kept:
            _started(tracer, span, set_span_in_context(root)).end(span.ended)
        root.end(whole.ended)
        provider.shutdown()

    def _resource(self) -> dict[str, str]:
        named = "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"
        own = {} if any(self._environ.get(name) for name in named) else {"service.name": "reconciler"}
        return {"service.version": __version__, **own}


def _started(tracer: Tracer, span: Span, context: Context) -> OtelSpan:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415  # only where it is wanted

    started = tracer.start_span(span.name, context, attributes=span.attributes, start_time=span.began)
    if span.failed:
        started.set_status(StatusCode.ERROR)
    return started


class _Failures(logging.Handler):
    """Keeps the last thing that the library says is wrong."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        if record.levelno >= logging.ERROR:
            self.reason = record.getMessage()
