#!/bin/sh
# The main job against the sandbox, step by step, on a copy of the repository's own interactions/.
# Run it with `make demo`. README.md shows what it prints; a test keeps the two in step.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -R "$here/interactions" "$folder/interactions"
cd "$folder"

step() { printf '\n# %s\n' "$1"; }
run() {
    printf '$ %s\n' "$*"
    code=0
    "$@" || code=$?
    [ "$code" -eq 0 ] || printf '(exit code %s)\n' "$code"
}

step 'What is declared, and nothing is open yet: a plan'
run reconciler plan --sandbox

step 'Dispatch it'
run reconciler apply --sandbox --auto-approve

step 'Nothing is left to do'
run reconciler plan --sandbox

step 'An edit: another route replaces the interaction'
sed -i.orig 's/route: CrmCallRouting/route: CrmNightRouting/' interactions/preset-skills.yaml
rm interactions/preset-skills.yaml.orig
run reconciler plan --sandbox

step 'A removal: what is declared no more is released'
rm interactions/personal-queue.yaml
run reconciler plan --sandbox

step 'Apply both, and let the API fail one request'
export RECONCILER_SANDBOX_FAULTS='fail externalid=ObjectId_002 action=dispatch'
run reconciler apply --sandbox --auto-approve
unset RECONCILER_SANDBOX_FAULTS

step 'The failure is recorded; the next apply tries again, under a new requestid'
run reconciler apply --sandbox --auto-approve
run reconciler plan --sandbox --detailed-exitcode
