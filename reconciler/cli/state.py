"""`reconciler state`: look at the state, or mend it. What writes holds the lock; what looks needs none."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from reconciler.cli.choice import addresses, asked, choices
from reconciler.cli.console import Console
from reconciler.cli.current_state import check_target, new_state, prepare_folder
from reconciler.cli.destinations import check_outputs
from reconciler.cli.output import present
from reconciler.cli.relocation import migrate, pull, unlock
from reconciler.cli.workspace import Workspace, kept, open_workspace, read_declarations
from reconciler.commandline import operands
from reconciler.errors import DeclarationError, ExitCode, ReconcilerError
from reconciler.interaction import ONCE_PREFIX, Interaction
from reconciler.planning.selection import known
from reconciler.render.story import listing_json, listing_text, mended_json, story_json, story_text
from reconciler.state.model import State
from reconciler.state.repair import Mended, adopt, forget, new_lineage, rename, resolvable, resolve
from reconciler.state.stores.interface import Writer
from reconciler.times import stamp


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Run one of the state commands."""
    workspace = open_workspace(options, console)
    check_outputs(options, kept(workspace, options), console)
    if options.subcommand in _LOOKS:
        _LOOKS[options.subcommand](workspace, options, console)
    elif options.subcommand in _MOVES:
        _MOVES[options.subcommand](workspace, options, console)
    elif options.subcommand == "new-lineage":
        _new_lineage(workspace, options, console)
    else:
        _write(workspace, options, console)
    return ExitCode.DONE


def _list(workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    found = workspace.store.read().state
    state = _concealed(found, _spoken(found, workspace, console), workspace)
    if selection := choices(options):
        state = state.only(addresses(selection, known((), state), options))
    if options.failed or options.unknown or options.held:
        state = state.only(_standing(state, options))
    present(lambda: listing_text(state), lambda: listing_json(state), options, console)


def _concealed(state: State, declared: Mapping[str, Interaction], workspace: Workspace) -> State:
    """Return the state as it may be shown and kept: what is stored may have become sensitive since."""
    from reconciler.delivery.redaction import conceal  # noqa: PLC0415  # what is wrong with the arguments needs none

    return conceal(state, workspace.settings.keys.plan_policy.sensitive, declared)


def _spoken(state: State, workspace: Workspace, console: Console) -> Mapping[str, Interaction]:
    """Return what is declared, where the API's words are kept: what they must not hold stands there only."""
    said = state.failed or any(link.held for link in state.pending.values())
    return _declared(workspace, console) if said else {}


def _standing(state: State, options: argparse.Namespace) -> set[str]:
    """Return the addresses of which a request stands as one of the options says."""
    pending = {link.address for link in state.pending.values() if getattr(options, link.standing, False)}
    return pending | {
        failure.address for failure in state.failed.values() if options.failed or (options.unknown and failure.resent)
    }


def _pull(workspace: Workspace, _options: argparse.Namespace, console: Console) -> None:
    found = workspace.store.read().state
    pull(_concealed(found, _spoken(found, workspace, console), workspace), console)


def _show(workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    declarations, found = _declared(workspace, console), workspace.store.read().state
    declared, state = declarations.get(options.address), _concealed(found, declarations, workspace)
    _require_known(state, declared, options.address)
    address, command = options.address, console.command
    present(
        lambda: story_text(state, address, declared, command),
        lambda: story_json(state, address, declared),
        options,
        console,
    )


def _declared(workspace: Workspace, console: Console) -> dict[str, Interaction]:
    """Return what is declared, by address; nothing, and a warning, where it can't be read."""
    from reconciler.declarations import loader  # noqa: PLC0415  # the other state commands read no declarations

    settings = workspace.settings
    try:
        declarations = loader.load(settings.interactions, settings.keys.rules, base=settings.folder)
    except DeclarationError as error:
        console.warn(f"the declarations can't be read, so nothing is known of them: {error}")
        return {}
    return {interaction.address: interaction for interaction in declarations.interactions}


def _require_known(state: State, declared: Interaction | None, address: str) -> None:
    traces = address in state.interactions or address in state.chains() or address in state.failures()
    if not traces and declared is None:
        once = f"{ONCE_PREFIX}{address}"
        wrong = f"{address} is neither declared nor in the state"
        if once in state.interactions:
            raise ReconcilerError(wrong, hint="The once of that name", command=("state", "show", *operands(once)))
        raise ReconcilerError(wrong, hint="What is there", command=("state", "list"))


def _write(workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    prepare_folder(workspace, options)
    if options.dry_run:
        found = workspace.store.read().state
        mended = _MENDS[options.subcommand](found, options, workspace, console)
        console.note("A dry run: nothing is written. Without --dry-run:")
    else:
        found, mended = _mend(workspace, options, console)
    _tell(found, mended, workspace, options, console)


def _mend(workspace: Workspace, options: argparse.Namespace, console: Console) -> tuple[State, Mended]:
    command, timeout = f"state {options.subcommand}", options.lock_timeout
    with workspace.store.hold(command, timeout=timeout, say=console.note) as store:
        found = store.read().state
        mended = _MENDS[options.subcommand](found, options, workspace, console)
        if mended.state is not found:
            _save(found, mended, store, workspace, console)
    return found, mended


def _new_lineage(workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    """Give the state a lineage of its own; a journal that is not its own is set aside, not removed."""
    prepare_folder(workspace, options)
    with workspace.store.hold("state new-lineage", timeout=options.lock_timeout, say=console.note) as store:
        found, aside = store.read_despite_journal()
        if aside:
            console.note(f"The journal continues another state; it is kept as {aside}.")
        mended = new_lineage(found)
        _save(found, mended, store, workspace, console)
    _tell(found, mended, workspace, options, console)


def _tell(found: State, mended: Mended, workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    for line in mended.said:
        console.note(line)

    def document() -> str:
        declared = _spoken(found, workspace, console)
        before, after = (_concealed(state, declared, workspace) for state in (found, mended.state))
        return mended_json(before, after, mended.said, dry_run=getattr(options, "dry_run", False))

    present(str, document, options, console)


def _resolve(state: State, options: argparse.Namespace, _workspace: Workspace, _console: Console) -> Mended:
    """Say what became of those that are named, and of those that are selected and wait for it."""
    named, selected = asked(options, known((), state))
    found = named | (selected & resolvable(state))
    if not found:
        wrong = "nothing is unknown about what is selected"
        raise ReconcilerError(wrong, hint="What is", command=("state", "list", "--unknown", "--held"))
    return resolve(state, sorted(found), applied=options.applied == "applied", at=stamp(datetime.now(UTC)))


def _adopt(state: State, options: argparse.Namespace, workspace: Workspace, console: Console) -> Mended:
    """Take what is declared, and named or selected, as open."""
    check_target(state, workspace)
    declared = {each.address: each for each in read_declarations(workspace, console).interactions}
    named, selected = asked(options, known(declared.values(), new_state()), everything=options.all_declared)
    if absent := sorted(named - declared.keys()):
        hint = "Only what is declared can be adopted: its content is taken from there. What is"
        raise ReconcilerError(f"{absent[0]} is not declared", hint=hint, command=("plan",))
    wanted = [declared[address] for address in sorted(named | selected)]
    sensitive = workspace.settings.keys.plan_policy.sensitive
    return adopt(state, wanted, workspace.target, sensitive, stamp(datetime.now(UTC)))


def adopt_addresses(names: Sequence[str], workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    """Take what is declared under these addresses as open, as `state adopt` does; the options are another command's."""
    chosen = {"addresses": names, "all_declared": False, "target": [], "exclude": [], "target_file": []}
    own = {"subcommand": "adopt", "dry_run": False, "exclude_file": [], "format": "text", "json_into": None}
    _write(workspace, argparse.Namespace(**vars(options) | chosen | own), console)


def _save(found: State, mended: Mended, store: Writer, workspace: Workspace, console: Console) -> None:
    declared = _spoken(found, workspace, console)
    store.back_up(_concealed(found, declared, workspace))
    store.save(_concealed(mended.state, declared, workspace))


_LOOKS: Final[dict[str, Callable[[Workspace, argparse.Namespace, Console], None]]] = {
    "list": _list,
    "show": _show,
    "pull": _pull,
}
_MOVES: Final = {"migrate": migrate, "unlock": unlock}
_MENDS: Final[dict[str, Callable[[State, argparse.Namespace, Workspace, Console], Mended]]] = {
    "rm": lambda state, options, *_: forget(state, options.addresses),
    "mv": lambda state, options, *_: rename(state, options.source, options.destination),
    "resolve": _resolve,
    "adopt": _adopt,
}
