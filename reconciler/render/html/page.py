"""A plan, or what became of it, as one page that needs nothing else: no network, and no script but its own.

Pure. What nobody may see is not in it; what was declared or answered is text and nothing else (elements.py), and would
not be carried out if it were more: the page's policy names the one style and the one script by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from reconciler.commandline import PLAIN, CommandLine
from reconciler.delivery.report import Report
from reconciler.errors import Problem
from reconciler.planning.guards import Refusal
from reconciler.planning.plan import Change
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.html.changes import Articles, Facets, Fate
from reconciler.render.html.elements import Part, bulleted, code, element, named, source
from reconciler.render.html.fates import OUTCOMES, fates
from reconciler.render.links import SourceLinks
from reconciler.render.outline import ORDER, Group, Outline, outline, verdict
from reconciler.render.report import VERDICTS, closing, troubles
from reconciler.render.words import count, selection, summary

MARK: Final = "<!doctype html>\n<!-- reconciler:page -->\n"
"""How each page begins, and is known for one."""
_STYLE, _SCRIPT = (Path(__file__).with_name(f"page.{kind}").read_text(encoding="ascii") for kind in ("css", "js"))


class _Part(NamedTuple):
    """Changes that stand under one heading."""

    key: str
    title: str
    note: str
    groups: tuple[Group, ...]

    @property
    def number(self) -> int:
        return sum(len(group.changes) for group in self.groups)


def page(
    saved: SavedPlan, links: SourceLinks | None = None, command: CommandLine = PLAIN, report: Report | None = None
) -> str:
    """Return the page of a plan; with a report, of what became of it.

    `links` lead to declarations, `command` is how the next one is to be called.
    """
    made, told = outline(saved), fates(report, saved.plan.changes) if report else {}
    articles = Articles(Facets(saved.plan.changes), told, links, command)
    parts = [*_by_outcome(made, told)] if report else [_Part(*section) for section in made.sections]
    ended = VERDICTS[report.exit_code] if report else verdict(saved)
    heading = element("h1", "Apply" if report else "Plan", *named(" for ", saved.environment), f": {ended}")
    said = element("p", closing(report) if report else summary(saved.plan), class_="sum")
    top = element("div", *_notices(made, report), _counts(made, parts), class_="top")
    changes = element("div", *(_section(part, articles) for part in parts), id="changes")
    skip = element("a", "Skip to the changes", class_="skip", href="#changes")
    main = element("main", top, _filters(parts, articles), changes)
    body = element("body", skip, element("header", heading, _about(made), said), main)
    return MARK + source(element("html", _head("".join(heading.itertext())), body, lang="en"), _STYLE, _SCRIPT)


def _by_outcome(made: Outline, told: Mapping[str, Fate]) -> Iterator[_Part]:
    """Yield the groups of a plan by what became of them; those of one group that ended alike stay one."""
    found: defaultdict[str, list[Group]] = defaultdict(list)
    for group in (group for section in made.sections for group in section.groups):
        ended: defaultdict[tuple[str, ...], list[Change]] = defaultdict(list)
        for change in group.changes:
            fate = told[change.address]
            ended[fate.outcome, *fate.notes].append(change)
        for (outcome, *_), changes in ended.items():
            found[outcome].append(group._replace(changes=tuple(changes)))
    yield from (_Part(key, *OUTCOMES[key], tuple(found[key])) for key in OUTCOMES if key in found)


def _head(title: str) -> Element:
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (_STYLE, _SCRIPT))
    policy = f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'"
    return element(
        "head",
        element("meta", charset="us-ascii"),
        element("meta", http_equiv="Content-Security-Policy", content=f"{policy}; base-uri 'none'; form-action 'none'"),
        element("meta", name="viewport", content="width=device-width"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
    )


# -- what stands at the top --------------------------------------------------------------------------------------


def _about(made: Outline) -> Element:
    saved = made.saved
    facts = [element("li", *(named(f"{what} ".lstrip(), name) or [what])) for what, name in made.where]
    facts.append(
        element("li", "state ", *named("", saved.state, ", "), f"serial {saved.plan.serial}, {saved.plan.open} open")
    )
    return element("ul", *facts, class_="about")


def _notices(made: Outline, report: Report | None) -> list[Element]:
    """Return what is to be known before anything else, as the text has it."""
    saved = made.saved
    found = (
        _notice("Only a part", "part", map(code, selection(saved.plan))),
        _notice("What went wrong", "refused", troubles(report) if report else ()),
        _notice("Refused: an apply would send nothing", "refused", map(_guard, saved.refusals)),
        _notice("Warnings", "warning", made.warnings),
        _notice("Approved with this plan", "approved", made.approved),
        _notice("Exceptions from the policy", "approved", map(_exception, made.exceptions)),
        _notice("Warnings about the declarations", "warning", map(_problem, saved.warnings)),
    )
    notices = [notice for each in found for notice in each]
    return [element("div", *notices)] if notices else []


def _notice(title: str, kind: str, items: Iterable[Part]) -> Iterator[Element]:
    if listed := bulleted(items):
        yield element("section", element("h2", title), *listed, class_=f"notice {kind}")


def _guard(refusal: Refusal) -> Element:
    override = named(" To allow exactly this: ", refusal.override)
    return element("li", f"{refusal.message}.", *override, f" {refusal.hint}" if refusal.hint else "")


def _exception(told: tuple[str, str]) -> Element:
    return element("li", f"{told[0]} (", code(told[1]), ")")


def _problem(problem: Problem) -> Element:
    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return element("li", code(place), f" {problem.message}")


# -- counts, filters and changes ---------------------------------------------------------------------------------


def _counts(made: Outline, parts: Sequence[_Part]) -> Element:
    """Return the counts as a chart whose bars stand beside their numbers."""
    most = max([1, *(part.number for part in parts)])
    rows = (_bar(part, most) for part in parts)
    chart = [element("table", *rows, class_="chart")] if parts else []
    return element("div", *chart, *bulleted(made.tallies))


def _bar(part: _Part, most: int) -> Element:
    share = str(max(0.5, round(100 * part.number / most, 1)))
    bar = element("rect", width=share, height="1")
    drawn = element("svg", bar, viewBox="0 0 100 1", preserveAspectRatio="none", aria_hidden="true")
    name = element("th", element("a", part.title, href=f"#{part.key}"), scope="row")
    return element("tr", name, element("td", str(part.number)), element("td", drawn), class_=part.key)


def _filters(parts: Sequence[_Part], articles: Articles) -> Element:
    """Return what narrows the list; hidden unless a script runs that can."""
    changes = [change for part in parts for group in part.groups for change in group.changes]
    actions = Counter(change.action for change in changes)
    outcomes = {part.key: f"{part.title} ({part.number})" for part in parts}
    selects = [_select("action", {action: f"{action} ({actions[action]})" for action in ORDER if actions[action]})]
    selects += [_select("outcome", outcomes)] if articles.fates else []
    for name, numbers in articles.found.numbers.items():
        counted = articles.found.counts[name]
        options = {key: f"{value or '(none)'} ({counted[value]})" for value, key in numbers.items()}
        selects.append(_select(name, options))
    search = element("label", "Search", element("input", type="search", name="search", autocomplete="off"))
    unfold, fold = (
        element("button", title, type="button", value=value) for title, value in (("Unfold all", "1"), ("Fold all", ""))
    )
    buttons = (element("button", "Clear", type="reset"), unfold, fold, element("output", count(len(changes), "change")))
    return element("form", search, *selects, *buttons, role="search", aria_label="Changes", hidden="")


def _select(name: str, options: Mapping[str, str]) -> Element:
    listed = [element("option", title, value=key) for key, title in {"": "any", **options}.items()]
    return element("label", name.title(), element("select", *listed, name=name))


def _section(part: _Part, articles: Articles) -> Element:
    head = element("h2", element("b", str(part.number), class_="count"), f" {part.title}")
    note = [element("p", part.note)] if part.note else []
    groups = map(articles.article, part.groups)
    return element("section", head, *note, *groups, id=part.key, class_=part.key, aria_label=part.title)
