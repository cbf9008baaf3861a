"""A hosting platform for one repository: a bare remote, pull requests, runs, artifacts, comments, and its REST API."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.ci.runner import During, Job, shell_environment
from tests.conftest import ROOT

NAME: Final = "acme/calls"
OWN: Final = {"id": 1, "full_name": NAME, "owner": {"login": "acme"}}
FORK: Final = {"id": 2, "full_name": "stranger/calls", "owner": {"login": "stranger"}}
TOKEN: Final = "planted-token"
BOT: Final = "github-actions[bot]"
STATE: Final = "reconciler.state.json"


class GitError(Exception):
    """What git complained of."""


@dataclass
class Run:
    """A run of a workflow: its jobs by name, and its artifacts."""

    id: int
    event: dict[str, Any]
    head_sha: str
    head_repository: Mapping[str, Any]
    jobs: dict[str, Job] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)


class Hosting:
    """The remote and what the platform keeps beside it; `folder` holds everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = shell_environment(folder)
        self.bare, self.dev = folder / "remote.git", folder / "dev"
        self.pulls: list[dict[str, Any]] = []
        self.runs: list[Run] = []
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.api_url = ""
        self.installs = False

    def set_up(self, base_url: str) -> None:
        """Make the remote and a developers' clone, and set up the pipelines as docs/ci/README.md says."""
        self.environ["PYTHONPYCACHEPREFIX"] = str(self.folder / "pycache")
        self.git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self.git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        self.clone("dev")
        workflows, steps = self.dev / ".github" / "workflows", self.dev / "ci" / "reconciler"
        shutil.copytree(ROOT / "docs" / "ci" / "github", workflows)
        shutil.copytree(ROOT / "docs" / "ci" / "steps", steps, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        (self.dev / "reconciler.yaml").write_text(f"base_url: {base_url}\n", encoding="utf-8")
        self.commit(self.dev, "Start")
        self.git(self.dev, "push", "--quiet", "origin", "HEAD:main")
        self.sh("ci/reconciler/state.sh", "init")

    def copy(self, folder: Path) -> Hosting:
        """Return another one, as this one is now."""
        other = Hosting(folder)
        other.environ["PYTHONPYCACHEPREFIX"] = self.environ["PYTHONPYCACHEPREFIX"]
        for mine, its in ((self.bare, other.bare), (self.dev, other.dev)):
            shutil.copytree(mine, its, symlinks=True)
        self.git(other.dev, "remote", "set-url", "origin", f"file://{other.bare}")
        return other

    def clone(self, name: str) -> Path:
        """Return a new clone of the remote."""
        folder = self.folder / name
        self.git(self.folder, "clone", "--quiet", f"file://{self.bare}", str(folder))
        return folder

    def git(self, folder: Path, *arguments: str) -> str:
        """Run git and return what it printed."""
        names = ("-c", "user.name=dev", "-c", "user.email=dev@example.com")
        ran = subprocess.run(
            ["git", *names, *arguments], cwd=folder, env=self.environ, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise GitError(ran.stderr)
        return ran.stdout.strip()

    def sh(self, *arguments: str, **environ: str) -> str:
        """Run a script in the developers' clone, as a person does."""
        env = {**self.environ, "RECONCILER_STATE": f"reconciler-state/{STATE}", **environ}
        return subprocess.run(
            ["sh", *arguments], cwd=self.dev, env=env, capture_output=True, text=True, check=True
        ).stdout

    def commit(self, clone: Path, message: str) -> str:
        """Commit everything and return the commit."""
        self.git(clone, "add", "--all")
        self.git(clone, "commit", "--quiet", "--message", message)
        return self.git(clone, "rev-parse", "HEAD")

    def show(self, file: str) -> str | None:
        """Return a file of the state branch, or None."""
        try:
            return self.git(self.bare, "show", f"reconciler-state:{file}")
        except GitError:
            return None

    @property
    def state(self) -> dict[str, Any]:
        """The state on its branch."""
        return dict(json.loads(self.show(STATE) or "{}"))

    def propose(self, files: Mapping[str, str | None], *, fork: bool = False) -> dict[str, Any]:
        """Open a pull request that writes (or, with None, removes) files, and return it."""
        number = len(self.pulls) + 1
        branch = f"change-{number}"
        self.git(self.dev, "fetch", "--quiet", "origin")
        self.git(self.dev, "checkout", "--quiet", "-B", branch, "origin/main")
        repo = FORK if fork else OWN
        pull = {
            "number": number,
            "state": "open",
            "head": {"sha": "", "ref": branch, "repo": repo},
            "base": {"ref": "main"},
            "merge_commit_sha": None,
            "merged_at": None,
        }
        self.pulls.append(pull)
        self.push(pull, files)
        return pull

    def push(self, pull: dict[str, Any], files: Mapping[str, str | None]) -> None:
        """Add a commit to a pull request."""
        self.git(self.dev, "checkout", "--quiet", pull["head"]["ref"])
        for name, text in files.items():
            path = self.dev / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")
        pull["head"]["sha"] = self.commit(self.dev, "Change")
        pull["files"] = self.git(self.dev, "diff", "--name-only", f"origin/main...{pull['head']['sha']}").splitlines()
        self.git(self.dev, "push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{pull['number']}/head")

    def merged(self, pull: dict[str, Any]) -> str:
        """Return a commit that merges the pull request into main as it is now."""
        self.git(self.dev, "fetch", "--quiet", "origin")
        self.git(self.dev, "checkout", "--quiet", "--detach", "origin/main")
        self.git(self.dev, "merge", "--quiet", "--no-ff", "--message", "Merge", pull["head"]["sha"])
        return self.git(self.dev, "rev-parse", "HEAD")

    def plan(self, pull: dict[str, Any]) -> Run:
        """Run plan.yml for a pull request."""
        commit = self.merged(pull)
        self.git(self.dev, "push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{pull['number']}/merge")
        run = self.start({"pull_request": pull}, pull["head"]["sha"], pull["head"]["repo"])
        self.job(run, "plan.yml", "plan", commit)
        return run

    def comment(self, run: Run) -> Job:
        """Run comment.yml after a run of plan.yml."""
        pull = run.event["pull_request"]
        event = {
            "repository": {"default_branch": "main"},
            "workflow_run": {
                "id": run.id,
                "event": "pull_request",
                "html_url": f"https://github.example/{NAME}/actions/runs/{run.id}",
                "head_sha": run.head_sha,
                "head_branch": pull["head"]["ref"],
                "head_repository": run.head_repository,
            },
        }
        after = self.start(event, self.git(self.bare, "rev-parse", "main"), OWN)
        return self.job(after, "comment.yml", "comment", after.head_sha)

    def merge(self, pull: dict[str, Any]) -> str:
        """Merge a pull request, and return the merge commit."""
        commit = self.merged(pull)
        self.git(self.dev, "push", "--quiet", "origin", "HEAD:main")
        pull.update(state="closed", merge_commit_sha=commit, merged_at="2026-01-01T00:00:00Z")
        return commit

    def apply(
        self,
        commit: str,
        *,
        approve: bool = False,
        inputs: Mapping[str, Any] | None = None,
        during: Mapping[str, During] | None = None,
    ) -> Run:
        """Run apply.yml for a commit of main; a person approves, or nobody does."""
        run = self.start_apply(commit, inputs=inputs)
        if run.jobs["plan"].succeeded:
            self.finish_apply(run, approve=approve, during=during)
        return run

    def start_apply(self, commit: str, *, inputs: Mapping[str, Any] | None = None) -> Run:
        """Run the first job of apply.yml."""
        run = self.start({}, commit, OWN)
        self.job(run, "apply.yml", "plan", commit, inputs=inputs or {})
        return run

    def finish_apply(self, run: Run, *, approve: bool = False, during: Mapping[str, During] | None = None) -> None:
        """Run the other jobs of apply.yml, as their conditions say."""
        plan = run.jobs["plan"]
        needs: dict[str, dict[str, Any]] = {
            "plan": {"result": "success", "outputs": plan.outputs},
            "approve": {"result": "skipped"},
        }
        if plan.outputs["approval"] == "needed":
            if not approve:
                return
            self.job(run, "apply.yml", "approve", run.head_sha, needs=needs)
            needs["approve"]["result"] = "success"
        self.job(run, "apply.yml", "apply", run.head_sha, during=during, needs=needs)

    def retry(self) -> Job:
        """Run retry.yml for main as it is now."""
        run = self.start({}, self.git(self.bare, "rev-parse", "main"), OWN)
        return self.job(run, "retry.yml", "retry", run.head_sha)

    def start(self, event: dict[str, Any], head_sha: str, repository: Mapping[str, Any]) -> Run:
        """Return a new run."""
        run = Run(len(self.runs) + 1, event, head_sha, repository)
        self.runs.append(run)
        return run

    def job(
        self, run: Run, workflow: str, name: str, commit: str, during: Mapping[str, During] | None = None, **more: Any
    ) -> Job:
        """Run one job of a run, for a commit; only jobs that are given credentials know them."""
        github = {"token": TOKEN, "event": run.event, "ref": "refs/heads/main"}
        secrets = {"RECONCILER_CLIENT_ID": "tester", "RECONCILER_CLIENT_SECRET": "planted-secret"}
        environ = {
            **self.environ,
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.api_url,
            "GITHUB_REPOSITORY": NAME,
            "GITHUB_RUN_ID": str(run.id),
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_SHA": commit,
        }
        if "pull_request" in run.event:
            secrets = {}
        job = Job(
            self.dev / ".github" / "workflows" / workflow,
            name,
            self.folder / f"run-{run.id}-{name}",
            environ,
            {"github": github, "secrets": secrets, "inputs": {}, "needs": {}, **more},
            lambda folder, ref, whole: self.checkout(folder, ref or commit, whole=whole),
            run.artifacts,
            during or {},
            skipped=set() if self.installs else {"Install"},
        )
        run.jobs[name] = job.run()
        return job

    def checkout(self, folder: Path, revision: str, *, whole: bool) -> None:
        """Check out a revision as a runner does: detached, with or without the history."""
        self.git(folder, "init", "--quiet")
        self.git(folder, "remote", "add", "origin", f"file://{self.bare}")
        depth = [] if whole else ["--depth=1"]
        self.git(folder, "fetch", "--quiet", *depth, "origin", revision)
        self.git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Answer a call to the REST API; bytes are an artifact."""
        for pattern, give in _ANSWERS.items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                found = give(self, match[1] if match.groups() else "", {**query, "body": body})
                return [] if isinstance(found, list) and query.get("page", "1") != "1" else found
        raise AssertionError(f"{method} {path}")

    def run(self, number: str) -> Run:
        """Return a run by its number."""
        return self.runs[int(number) - 1]

    def runs_of(self, head_sha: str) -> dict[str, Any]:
        """Return the runs of plan.yml for a commit."""
        found = [run for run in self.runs if run.head_sha == head_sha and "pull_request" in run.event]
        return {"workflow_runs": [{"id": run.id, "head_repository": run.head_repository} for run in found]}

    def artifacts_of(self, number: str, name: str) -> dict[str, Any]:
        """Return a run's artifacts of that name."""
        data = self.run(number).artifacts.get(name)
        found = {"id": int(number), "expired": False, "size_in_bytes": len(data or b"")}
        return {"artifacts": [] if data is None else [found]}

    def post(self, number: int, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a comment."""
        comments = self.comments.setdefault(number, [])
        comments.append({"id": 100 * number + len(comments), "user": {"login": BOT}, **body})
        return comments[-1]

    def patch(self, comment: int, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change a comment."""
        number, place = divmod(comment, 100)
        self.comments[number][place].update(body)
        return self.comments[number][place]


_ANSWERS: Final[Mapping[str, Callable[[Hosting, str, dict[str, Any]], Any]]] = {
    r"GET /pulls": lambda host, _one, query: [pull for pull in host.pulls if _asked(pull, query)],
    r"GET /pulls/(\d+)/files": lambda host, one, _query: [{"filename": n} for n in host.pulls[int(one) - 1]["files"]],
    r"GET /commits/(\w+)/pulls": lambda host, one, _query: [
        pull for pull in host.pulls if one in {pull["merge_commit_sha"], pull["head"]["sha"]}
    ],
    r"GET /actions/workflows/plan\.yml/runs": lambda host, _one, query: host.runs_of(query["head_sha"]),
    r"GET /actions/runs/(\d+)/artifacts": lambda host, one, query: host.artifacts_of(one, query["name"]),
    r"GET /actions/artifacts/(\d+)/zip": lambda host, one, _query: host.run(one).artifacts["reconciler-plan"],
    r"GET /issues/(\d+)/comments": lambda host, one, _query: host.comments.get(int(one), []),
    r"POST /issues/(\d+)/comments": lambda host, one, query: host.post(int(one), query["body"]),
    r"PATCH /issues/comments/(\d+)": lambda host, one, query: host.patch(int(one), query["body"]),
}


def _asked(pull: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    head = pull["head"]
    name = f"{head['repo']['owner']['login']}:{head['ref']}"
    return (pull["state"], name, pull["base"]["ref"]) == (query["state"], query["head"], query["base"])


@contextmanager
def served(hosting: Hosting) -> Iterator[None]:
    """Serve the REST API on loopback. An artifact is a redirect to another place that must not see the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        do_POST = do_PATCH = do_GET  # noqa: N815

        def _answer(self) -> None:
            url = urlsplit(self.path)
            if url.path.startswith("/elsewhere/"):
                assert "Authorization" not in self.headers
                self._send(200, stored[url.path])
                return
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"null")
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            found = hosting.answer(self.command, url.path.removeprefix(f"/repos/{NAME}"), query, body)
            if isinstance(found, bytes):
                stored[f"/elsewhere{url.path}"] = found
                self._send(302, b"", Location=f"http://localhost:{server.server_port}/elsewhere{url.path}")
            else:
                self._send(200, json.dumps(found).encode())

        def _send(self, status: int, data: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: Any) -> None:
            """Log nothing."""

    stored: dict[str, bytes] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        hosting.api_url = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
