#!/bin/sh
# Plan, into reconciler-plan/: plan.md for people, plan.json for machines, saved.json to apply exactly this.
# Needs no credentials. Approvals of what a guard refuses: ALLOW_RELEASES, ALLOW_DISPATCHES, ALLOW_EMPTY=true.
set -eu

folder=reconciler-plan
mkdir -p "$folder"
set -- --out "$folder/saved.json" --markdown-into "$folder/plan.md" --json-into "$folder/plan.json"
if [ -n "${ALLOW_RELEASES:-}" ]; then
    set -- "$@" --allow-releases "$ALLOW_RELEASES"
fi
if [ -n "${ALLOW_DISPATCHES:-}" ]; then
    set -- "$@" --allow-dispatches "$ALLOW_DISPATCHES"
fi
if [ "${ALLOW_EMPTY:-}" = true ]; then
    set -- "$@" --allow-empty
fi

code=0
reconciler plan --detailed-exitcode "$@" || code=$?
echo "code=$code" >> "${GITHUB_OUTPUT:-/dev/null}"
case $code in
    # Changes, or something that only a person can settle: shown in the plan, and nothing that a reviewer must fix.
    0 | 2 | 7) exit 0 ;;
    *) exit "$code" ;;
esac
