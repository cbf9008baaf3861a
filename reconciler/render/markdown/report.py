"""What became of an apply as Markdown, for the summary of the job that ran it.

Pure: returns a string. What was declared or answered stands in code, as in the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.commandline import PLAIN, CommandLine, adoption, resolutions
from reconciler.delivery.report import Held, Report
from reconciler.planning.plan import Action, Change
from reconciler.render.fit import Item, Section, fit
from reconciler.render.markdown.gfm import code, prose, size
from reconciler.render.markdown.plan import LIMIT, NOT_ALL, SMALLEST, titled
from reconciler.render.outline import ORDER
from reconciler.render.report import NEXT, VERDICTS, counts
from reconciler.render.words import count, times
from reconciler.state.model import Failed, Pending


def report_markdown(report: Report, environment: str | None, limit: int = LIMIT, command: CommandLine = PLAIN) -> str:
    """Return how it ended, then what failed, what is unknown and what was not sent; never longer than `limit`."""
    if limit < SMALLEST:
        raise ValueError(f"{limit} characters are too few; {SMALLEST} is the least")
    top = [titled("Apply", environment, VERDICTS[report.exit_code]), _counts(report)]
    not_all = f"*Not all of it fits here. Everything:* {code(command('state', 'list'))}"
    return _document(top, _sections(report, command), limit, not_all)


def stale_markdown(
    differences: Iterable[tuple[str, Change | None, Change | None]],
    why: str,
    environment: str | None,
    limit: int = LIMIT,
) -> str:
    """Return what a saved plan said and what would be done now, where they differ."""
    items = [Item(text, text) for text in (_stale(*entry) for entry in differences)]
    top = [
        titled("Apply", environment, "the saved plan is stale"),
        f"Nothing was sent. {why}",
    ]
    return _document(top, [Section(f"### {count(len(items), 'difference')}", items)], limit, NOT_ALL)


def _document(top: list[str], sections: Iterable[Section], limit: int, not_all: str) -> str:
    fixed = sum(size(block) + 2 for block in (*top, not_all))
    fitted = fit([section for section in sections if section.items], limit - fixed)
    return "\n\n".join([*top, *fitted.texts, *([] if fitted.complete else [not_all])]) + "\n"


def _counts(report: Report) -> str:
    state = report.state
    return f"**{counts(report)}**{report.left_out}; state serial {state.serial}, {len(state.interactions)} open."


def _sections(report: Report, command: CommandLine) -> Iterator[Section]:
    problems = [Item(text, text) for text in map(prose, report.problems)]
    yield Section("> [!CAUTION]", problems, bullet="> - ", gap="\n", most=4_000)
    failed = [
        _failed(*entry, command(*adoption(entry[1].address)) if report.maybe_open(entry[1]) else "")
        for entry in report.failed
    ]
    yield Section(f"### {len(failed)} failed\n\n{NEXT['failed']}", failed)
    unknown = [_link(*entry) for entry in report.unknown]
    yield Section(f"### {len(unknown)} unknown\n\nMay or may not have been processed. {NEXT['unknown']}", unknown)
    held = [_held(entry, command) for entry in report.held]
    yield Section(f"### {len(held)} held\n\n{ORDER[Action.HOLD][1]}", held)
    unsent = [_link(*entry) for entry in report.unsent]
    yield Section(f"### {len(unsent)} not sent\n\n{NEXT['unsent']}", unsent)


def _failed(requestid: str, failure: Failed, adopt: str) -> Item:
    short = f"{prose(failure.action)} {code(failure.address)}"
    again = [f"failed {times(failure.attempts)} in a row"] if failure.attempts > 1 else []
    answer = [f"requestid {code(requestid)}", prose(failure.reason)]
    hint = [f"It may be open already. If it is, take it as that: {code(adopt)}"] if adopt else []
    return Item("\\\n  ".join([" · ".join([short, *again]), " · ".join(answer), *hint]), short, _group(failure.source))


def _link(requestid: str, link: Pending) -> Item:
    short = f"{link.kind.value} {code(link.address)}"
    return Item(f"{short}\\\n  requestid {code(requestid)}", short, _group(link.source))


def _held(held: Held, command: CommandLine) -> Item:
    short = f"{code(held.address)} · {prose(held.why)}"
    requests = [f"{action} requestid {code(requestid)}" for action, requestid in held.requests]
    applied, not_applied = (code(command(*words)) for words in resolutions(held.address))
    lines = [short, *requests, f"Look it up, then {applied} or {not_applied}"]
    return Item("\\\n  ".join(lines), short)


def _group(source: str) -> str:
    return f"**{code(source)}**" if source else ""


def _stale(address: str, then: Change | None, now: Change | None) -> str:
    return f"{code(address)}: reviewed was {_said(then)}, now it is {_said(now)}"


def _said(change: Change | None) -> str:
    return change.action.value if change else "nothing"
