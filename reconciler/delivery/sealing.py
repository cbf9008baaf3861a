"""Which files an apply leaves sealed: those whose declarations are all open, as declared.

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from reconciler.declarations.loader import Declarations
from reconciler.declarations.seals import Seals, reader
from reconciler.planning.plan import Change, Plan
from reconciler.state.model import Open, State


def resealed(state: State, plan: Plan, declarations: Declarations, rules: bytes) -> State:
    """Return the state, as it is after the plan was carried out, with the seals of what was read for it.

    A plan of a part says nothing of the rest, so it only keeps the seals that fitted.
    """
    fit = {} if plan.selection else _settled(state, plan, declarations)
    seals = Seals(state, rules).renewed(declarations.sealed, dict(declarations.contents), fit)
    return replace(state, reader=reader(), seals=seals)


def _settled(state: State, plan: Plan, declarations: Declarations) -> dict[str, list[str]]:
    """Return the addresses of each file that declares nothing that is not open as it is declared."""
    changes = {change.address: change for change in plan.changes}
    unfit = set[str]()
    found: defaultdict[str, list[str]] = defaultdict(list)
    for declared in declarations.interactions:
        file, change = declared.place.file, changes.get(declared.address)
        found[file].append(declared.address)
        if change and not _is_done(change, state.interactions.get(declared.address)):
            unfit.add(file)
    return {file: addresses for file, addresses in found.items() if file not in unfit}


def _is_done(change: Change, opened: Open | None) -> bool:
    if not (opened and change.after):
        return False
    provider, digest, source, _, fields, prevent_release = change.after
    known = (opened.provider, opened.digest, opened.source, opened.fields, opened.prevent_release)
    return known == (provider, digest, source, fields, prevent_release)
