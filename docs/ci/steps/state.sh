#!/bin/sh
# The state on a branch of its own.
#
#   state.sh init [STATE]  make the branch with an empty state, or with this one; once, by a person
#   state.sh fetch         bring the state here
#   state.sh take COMMIT   bring it here to apply the declarations of COMMIT: says so on the branch, before anything is
#                          sent; exit 6 if another run has it
#   state.sh save          give state and journal back; run it always, also after a failed or killed apply
#
# RECONCILER_STATE  where the state is to be here, say reconciler-state/reconciler.state.json; its folder is a clone
# STATE_BRANCH      default: reconciler-state
# STATE_REMOTE      default: the URL of origin
# GIT_TOKEN         the password for it, if it needs one, with the user name GIT_USER
# PUSH_PAUSE        seconds between two tries to push; default: 3
#
# On the branch, beside the state and its journal: NAME.commit, the commit that was applied last, and NAME.taken, the
# commit and the run that have the state now.
set -eu

branch=${STATE_BRANCH:-reconciler-state}
state=${RECONCILER_STATE:?"say where the state is to be here, in a folder of its own"}
folder=$(dirname "$state")
name=$(basename "$state")
there=refs/remotes/origin/$branch
rescue=reconciler-rescue
export GIT_TERMINAL_PROMPT=0

if [ -n "${GITHUB_RUN_ID:-}" ]; then
    run=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID
else
    run=${CI_JOB_URL:-$(uname -n)}
fi

die() { # CODE MESSAGE…
    code=$1
    shift
    printf 'error: %s\n' "$@" >&2
    exit "$code"
}

local_git() {
    git -C "$folder" "$@"
}

remote_git() { # The token stays out of the process list, the URL and every file.
    if [ -z "${GIT_TOKEN:-}" ]; then
        local_git "$@"
        return
    fi
    # shellcheck disable=SC2016  # expanded by the helper, from its environment
    helper='!f() { echo "username=${GIT_USER:-x-access-token}"; echo "password=$GIT_TOKEN"; }; f'
    local_git -c credential.helper= -c credential.helper="$helper" "$@"
}

prepare() {
    if [ -e "$folder" ]; then
        die 1 "$folder is here already: it may hold a state that was not saved. Save it or remove it."
    fi
    url=${STATE_REMOTE:-$(git remote get-url origin)}
    git init --quiet "$folder"
    local_git remote add origin "$url"
    local_git config user.name reconciler
    local_git config user.email reconciler@noreply.invalid
    local_git config commit.gpgsign false
    local_git config core.autocrlf false
}

refresh() {
    remote_git fetch --quiet --depth 1 origin "+refs/heads/$branch:$there"
}

fetch() {
    prepare
    if ! refresh; then
        rm -rf "$folder"
        die 1 "the branch $branch can't be fetched. Is this the first time? Then make it once: state.sh init"
    fi
    local_git checkout --quiet -B "$branch" "$there"
    if [ ! -e "$state" ]; then
        rm -rf "$folder"
        die 1 "the branch $branch has no $name. Is this its first time? Then make it once: state.sh init"
    fi
    local_git update-ref refs/reconciler/base HEAD
}

ours() { # REVISION: what it holds of this state, to compare.
    for file in "$name" "$name.journal" "$name.commit" "$name.taken"; do
        local_git rev-parse --quiet --verify "$1:$file" || echo none
    done
}

stage() {
    for file in "$name" "$name.journal" "$name.commit" "$name.taken"; do
        if [ -e "$folder/$file" ]; then
            local_git add --force -- "$file" || return 1
        else
            local_git rm --quiet --cached --ignore-unmatch -- "$file" || return 1
        fi
    done
}

push() { # MESSAGE; 0: it is there, 1: it can't be pushed, 2: the remote state is not the one that we started from.
    before=$(ours refs/reconciler/base)
    tries=0
    while :; do
        stage || return 1
        if ! local_git diff --cached --quiet HEAD; then
            local_git commit --quiet --message "$1" --message "$run" || return 1
        fi
        if remote_git push --quiet origin "HEAD:refs/heads/$branch"; then
            local_git update-ref refs/reconciler/base HEAD
            return 0
        fi
        tries=$((tries + 1))
        if [ "$tries" -ge 5 ]; then
            return 1
        fi
        sleep "${PUSH_PAUSE:-3}"
        refresh || continue
        now=$(ours "$there")
        if [ "$now" = "$(ours HEAD)" ]; then
            # It had arrived; only the answer was lost.
            local_git update-ref refs/reconciler/base "$there"
            return 0
        fi
        if [ "$now" != "$before" ]; then
            return 2
        fi
        # Another state of the same branch moved on: ours on top of it.
        local_git reset --quiet --mixed "$there"
    done
}

init() {
    prepare
    if refresh; then
        local_git checkout --quiet -B "$branch" "$there"
    else
        local_git checkout --quiet --orphan "$branch"
        local_git commit --quiet --allow-empty --message "States of reconciler, and nothing else"
    fi
    local_git update-ref refs/reconciler/base HEAD
    if [ -e "$state" ]; then
        rm -rf "$folder"
        die 1 "the branch $branch has a $name already; it is kept as it is"
    fi
    if [ -n "${1:-}" ]; then
        cp "$1" "$state"
        if [ -e "$1.journal" ]; then
            cp "$1.journal" "$state.journal"
        fi
    else
        reconciler -C "$folder" init --state "$name" > /dev/null
    fi
    push "Start $name" || die 1 "the branch $branch can't be pushed"
    rm -rf "$folder"
    echo "The branch $branch has a $name now. Nobody but the pipeline should push to it."
}

take() { # COMMIT
    if [ ! -d "$folder/.git" ]; then
        fetch
    fi
    if [ -e "$state.taken" ]; then
        read -r commit owner < "$state.taken" || true
        if [ "$commit" != "$1" ]; then
            die 6 "the state was taken by $owner" \
                "for commit $commit, and not given back. Nothing was sent here. If that run still works, wait for it." \
                "If it is dead, run it again: from the same state and commit it sends the same requestids, so nothing" \
                "is doubled. If it can't be run again, see \"A run that vanished\" in the documentation."
        fi
        echo "The state was taken by $owner for the same commit; this run takes it up." >&2
    fi
    if [ -e "$state.commit" ] && ! git merge-base --is-ancestor "$(cat "$state.commit")" "$1"; then
        die 1 "$(cat "$state.commit") was applied last, and $1 does not follow it:" \
            "applying it would undo newer merges. Nothing was sent."
    fi
    printf '%s %s\n' "$1" "$run" > "$state.taken"
    code=0
    push "Take $name for $1" || code=$?
    if [ "$code" -ne 0 ]; then
        rm -rf "$folder"
    fi
    case $code in
        0) local_git update-ref refs/reconciler/taken HEAD ;;
        2) die 6 "another run took the state at the same time. Nothing was sent. Run this again when it is done." ;;
        *) die 1 "the branch $branch can't be pushed, so nothing was sent" ;;
    esac
}

save() {
    if [ ! -d "$folder/.git" ] || ! local_git rev-parse --quiet --verify refs/reconciler/taken > /dev/null; then
        echo "This run did not take the state: nothing to save."
        return
    fi
    stage
    if ! local_git diff --cached --quiet HEAD -- "$name" "$name.journal"; then
        cut -d ' ' -f 1 "$state.taken" > "$state.commit"
        message="Save $name"
    else
        message="Give $name back as it was"
    fi
    rm -f "$state.taken"
    code=0
    push "$message" || code=$?
    if [ "$code" -ne 0 ]; then
        keep "$code"
        exit 1
    fi
    rm -rf "$folder"
}

keep() { # CODE of push
    mkdir -p "$rescue"
    for file in "$name" "$name.journal" "$name.commit"; do
        if [ -e "$folder/$file" ]; then
            cp "$folder/$file" "$rescue/$file"
        fi
    done
    if [ "$1" -eq 2 ]; then
        why="someone changed $name on the branch $branch while this run had it"
    else
        why="the branch $branch can't be pushed"
    fi
    cat > "$rescue/what-to-do.txt" << TEXT
The state of this run is not on its branch: $why.
Nothing there was overwritten. What this run left is in $rescue/ (an artifact of the run).

Until that is mended, run no apply and merge nothing: an apply from the old state would not know what was sent.

If the push was only refused, or the network failed, put the state where it belongs:

    git fetch origin $branch && git worktree add state-branch $branch && cd state-branch
    cp …/$rescue/$name* . && git rm --ignore-unmatch $name.taken && git add $name*
    git commit -m "Put the state back" && git push origin $branch

    Is there no $name.journal in $rescue/? Then remove the branch's, if it has one.

If someone changed the state meanwhile, two states now each know something that the other doesn't. Start from this
run's, look at the difference between the two, and bring in what the other one knows:
reconciler state rm, mv and resolve write; then reconciler state new-lineage, and push as above.
TEXT
    cat "$rescue/what-to-do.txt" >&2
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        echo "::error title=The state was not saved::$why; see $rescue/what-to-do.txt"
    fi
}

case ${1:-} in
    init | fetch | take | save) "$@" ;;
    *) die 64 "which of init, fetch, take and save?" ;;
esac
