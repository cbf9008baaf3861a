#!/bin/sh
# Apply exactly reconciler-plan/saved.json. `state.sh save` must follow, whatever happens here.
set -eu

sh "$(dirname "$0")/state.sh" take "$(git rev-parse HEAD)"
# exec: a cancelled job's signals reach reconciler itself, which saves and exits 130.
exec reconciler apply reconciler-plan/saved.json
