#!/bin/sh
# Retry what failed and settle what is unknown, of what was applied last: the commit is kept beside the state, so
# a merge that nobody approved yet is not applied here. `state.sh save` must follow, whatever happens here.
set -eu

here=$(dirname "$0")
sh "$here/state.sh" fetch
RECONCILER_STATE=$PWD/$RECONCILER_STATE
export RECONCILER_STATE
if [ ! -e "$RECONCILER_STATE.commit" ]; then
    echo "Nothing was applied yet: nothing to retry."
    exit 0
fi
applied=$(cat "$RECONCILER_STATE.commit")
git worktree prune
git worktree add --quiet --force --detach reconciler-applied "$applied"

# A look first: where nothing is due, the state's branch gets no commit.
code=0
GITHUB_STEP_SUMMARY='' reconciler -C reconciler-applied plan --detailed-exitcode > reconciler-look.txt || code=$?
if [ "$code" -eq 0 ] && [ ! -e "$RECONCILER_STATE.taken" ]; then
    echo "Nothing to retry."
    exit 0
fi
if [ "$code" -ne 0 ] && [ "$code" -ne 2 ]; then
    cat reconciler-look.txt
    exit "$code"
fi
sh "$here/state.sh" take "$applied"
exec reconciler -C reconciler-applied apply --auto-approve
