"""What became of an apply, as text: what failed and why it can be tried again, what is unknown, and the counts.

Pure: returns strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.commandline import PLAIN, CommandLine, adoption, resolutions
from reconciler.delivery.report import Report
from reconciler.errors import ExitCode
from reconciler.escape import visible
from reconciler.render.style import ALARM, BOLD, YELLOW, Style
from reconciler.render.style import PLAIN as PLAIN_STYLE
from reconciler.render.words import count, times
from reconciler.state.model import Failed, Kind, Pending

_SHOWN = 50
NEXT: Final = {
    "failed": "The next apply tries again, under new requestids.",
    "unknown": "The next apply settles it, under the same requestids.",
    "unsent": "The next apply sends what is still wanted.",
}
"""What becomes of what did not succeed."""
VERDICTS: Final = {
    ExitCode.DONE: "done",
    ExitCode.ERROR: "not everything could be sent",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.UNKNOWN: "outcomes are unknown",
    ExitCode.REQUESTS_FAILED: "requests failed",
}
"""How an apply ended, in a few words."""
_COLOURS: Final = {"Problem": ALARM, "Failed": ALARM, "Unknown": YELLOW, "Held": YELLOW, "Not sent": YELLOW}


def report_text(report: Report, command: CommandLine = PLAIN, style: Style = PLAIN_STYLE) -> str:
    """Return the closing text of an apply; `command` is how the next one is to be called."""
    parts = (_failed, _unknown, _held, _unsent)
    found = [list(troubles(report)), *(list(part(report, command)) for part in parts)]
    blocks = ["\n".join(_painted(block, style)) for block in found if block]
    return "\n\n".join([*blocks, style.paint(closing(report), BOLD)]) + "\n"


def _painted(block: list[str], style: Style) -> list[str]:
    """Return the lines with the word in colour that says what they are about."""
    word, _, rest = block[0].partition(":")
    return [f"{style.paint(f'{word}:', _COLOURS[word])}{rest}", *block[1:]] if word in _COLOURS else block


def troubles(report: Report) -> Iterator[str]:
    """Yield why something could not be sent or settled, and that the run was cut short."""
    for problem in report.problems:
        yield f"Problem: {visible(problem)}"
    if report.interrupted:
        yield "Interrupted: calls in flight were waited for, nothing else was sent, and all is saved."


def _failed(report: Report, command: CommandLine) -> Iterator[str]:
    if not report.failed:
        return
    yield f"Failed: {count(len(report.failed), 'request')}. {NEXT['failed']}"
    for requestid, failure in report.failed[:_SHOWN]:
        yield from _failure(requestid, failure)
        if report.maybe_open(failure):
            yield "            It may be open already. If it is, take it as that:"
            yield f"            {command(*adoption(failure.address))}"
    yield from _more(len(report.failed), command)


def _failure(requestid: str, failure: Failed) -> Iterator[str]:
    again = f" (failed {times(failure.attempts)} in a row)" if failure.attempts > 1 else ""
    yield f"  {failure.action:<9} {visible(failure.address)}{again}   {visible(failure.source)}"
    yield f"            {visible(failure.reason)}"
    yield f"            requestid {requestid}"


def _unknown(report: Report, command: CommandLine) -> Iterator[str]:
    if not report.unknown:
        return
    yield (f"Unknown: {count(len(report.unknown), 'request')} may or may not have been processed. {NEXT['unknown']}")
    yield from _links(report.unknown, command)


def _held(report: Report, command: CommandLine) -> Iterator[str]:
    if not report.held:
        return
    number = len(report.held)
    wait, each = ("waits", "it") if number == 1 else ("wait", "each")
    yield f"Held: {count(number, 'interaction')} {wait} for a person: look {each} up, then say what became of it."
    for held in report.held[:_SHOWN]:
        yield f"  {visible(held.address)}   {visible(held.why)}"
        yield from (f"            {action} requestid {requestid}" for action, requestid in held.requests)
        yield from (f"            {command(*words)}" for words in resolutions(held.address))
    yield from _more(number, command)


def _unsent(report: Report, command: CommandLine) -> Iterator[str]:
    if not report.unsent:
        return
    yield f"Not sent: {count(len(report.unsent), 'request')}. {NEXT['unsent']}"
    yield from _links(report.unsent, command)


def _links(links: tuple[tuple[str, Pending], ...], command: CommandLine) -> Iterator[str]:
    for requestid, link in links[:_SHOWN]:
        yield f"  {link.kind:<9} {visible(link.address)}   requestid {requestid}"
    yield from _more(len(links), command)


def _more(number: int, command: CommandLine) -> Iterator[str]:
    if number > _SHOWN:
        yield f"  and {number - _SHOWN} more: {command('state', 'list')}"


def closing(report: Report) -> str:
    """Return the last line of a report: how many requests ended how, and the state."""
    state = report.state
    return f"Applied: {counts(report)}{report.left_out}. State serial {state.serial}, {len(state.interactions)} open."


def counts(report: Report) -> str:
    """Return how many requests ended how."""
    done = report.succeeded
    parts = [
        f"{done[Kind.DISPATCH]} dispatched",
        f"{done[Kind.RELEASE] + done[Kind.TOLERANT]} released",
        f"{len(report.failed)} failed",
    ]
    if report.unknown:
        parts.append(f"{len(report.unknown)} unknown")
    if report.held:
        parts.append(f"{len(report.held)} held")
    if report.unsent:
        parts.append(f"{len(report.unsent)} not sent")
    return ", ".join(parts)
