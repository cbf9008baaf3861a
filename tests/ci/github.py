"""A GitHub of our own, made from its documentation: a repository with all beside it, and its REST API."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.command import Ran, Workplace, clean_environment

NAME: Final = "acme/calls"
TOKEN: Final = "planted-token"
READ_ONLY: Final = "planted-token-of-a-fork"
BOT: Final = "github-actions[bot]"
NOBODY: Final = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
Json = dict[str, Any]


class GitError(Exception):
    """What git complained of."""


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it printed."""
    names = ("-c", "user.name=dev", "-c", "user.email=dev@example.com", "-c", "protocol.file.allow=always")
    env = {**clean_environment(), **NOBODY, "HOME": str(folder)}
    command = ["git", *names, *arguments]
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise GitError(ran.stderr)
    return ran.stdout.strip()


@dataclass
class Job:
    """What a job printed, how it ended, and what it gave to the next one."""

    ran: Ran
    outputs: dict[str, str]
    summary: str

    @property
    def code(self) -> int:
        """The exit code."""
        return self.ran.code

    @property
    def said(self) -> str:
        """Both streams."""
        return self.ran.out + self.ran.err


@dataclass
class GitHub:
    """One repository with all that GitHub keeps beside it; `folder` holds everything."""

    folder: Path
    branch: str = "main"
    pulls: list[Json] = field(default_factory=list)
    comments: dict[int, list[Json]] = field(default_factory=dict)
    statuses: list[Json] = field(default_factory=list)
    environments: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    """What GET answers besides, by path; a number is a status."""
    failing: list[tuple[str, int]] = field(default_factory=list)
    """Calls that begin so are answered with this status, each once."""
    calls: Counter[str] = field(default_factory=Counter)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens once, before a call that begins so is answered."""
    url: str = ""
    jobs: int = 0

    prefix = f"/repos/{NAME}"

    # -- the repository --------------------------------------------------------------------------------------------

    @property
    def bare(self) -> Path:
        """The remote."""
        return self.folder / "remote.git"

    @property
    def dev(self) -> Path:
        """A developers' clone."""
        return self.folder / "dev"

    def make(self) -> None:
        """Make an empty remote and a clone."""
        git(self.folder, "init", "--quiet", "--bare", f"--initial-branch={self.branch}", str(self.bare))
        git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(self.folder, "clone", "--quiet", self.bare.as_uri(), str(self.dev))

    def set_up(self, base_url: str) -> None:
        """Make the remote, a clone, and a first commit."""
        self.make()
        self.write({"reconciler.yaml": f"base_url: {base_url}\n", "interactions/none.yaml": "# nothing yet\n"})
        self.commit("Start")
        git(self.dev, "push", "--quiet", "origin", f"HEAD:{self.branch}")

    def copy(self, folder: Path) -> GitHub:
        """Return another one, as this one is now."""
        other = GitHub(folder, self.branch)
        shutil.copytree(self.bare, other.bare)
        shutil.copytree(self.dev, other.dev)
        git(other.dev, "remote", "set-url", "origin", other.bare.as_uri())
        return other

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files in the clone; None removes one."""
        for name, text in files.items():
            path = self.dev / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        """Commit all that is in the clone."""
        git(self.dev, "add", "--all")
        git(self.dev, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.dev, "rev-parse", "HEAD")

    def _at(self, revision: str) -> None:
        git(self.dev, "fetch", "--quiet", "origin")
        git(self.dev, "checkout", "--quiet", "--force", "--detach", revision)

    @property
    def head(self) -> str:
        """The default branch's commit."""
        return git(self.bare, "rev-parse", self.branch)

    def push(self, files: Mapping[str, str | None], message: str = "Past review") -> str:
        """Commit to the default branch itself."""
        self._at(f"origin/{self.branch}")
        self.write(files)
        commit = self.commit(message)
        git(self.dev, "push", "--quiet", "origin", f"HEAD:{self.branch}")
        return commit

    def propose(self, files: Mapping[str, str | None], *, fork: bool = False) -> Json:
        """Open a pull request."""
        self._at(f"origin/{self.branch}")
        number = len(self.pulls) + 1
        pull = {
            "number": number,
            "state": "open",
            "head": {"sha": "", "ref": f"change-{number}", "repo": {"full_name": "stranger/calls" if fork else NAME}},
            "base": {"ref": self.branch},
            "merge_commit_sha": None,
            "merged_at": None,
        }
        self.pulls.append(pull)
        self.amend(pull, files, base=f"origin/{self.branch}")
        return pull

    def amend(self, pull: Json, files: Mapping[str, str | None], base: str = "") -> None:
        """Add a commit to a pull request."""
        self._at(base or pull["head"]["sha"])
        self.write(files)
        pull["head"]["sha"] = self.commit("Change")
        git(self.dev, "push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{pull['number']}/head")

    def merge(self, pull: Json, how: str = "merge") -> str:
        """Merge a pull request, and return the commit that this made."""
        self._at(f"origin/{self.branch}")
        head, before = pull["head"]["sha"], git(self.dev, "rev-parse", "HEAD")
        if how == "squash":
            git(self.dev, "merge", "--quiet", "--squash", head)
            self.commit("Squashed")
        elif how == "rebase":
            git(self.dev, "cherry-pick", "--allow-empty", f"{git(self.dev, 'merge-base', 'HEAD', head)}..{head}")
        else:
            git(self.dev, "merge", "--quiet", "--no-ff", "--message", "Merge", head)
        git(self.dev, "push", "--quiet", "origin", f"HEAD:{self.branch}")
        commit = git(self.dev, "rev-parse", "HEAD")
        brought = git(self.dev, "rev-list", f"{before}..{commit}").split()
        pull.update(state="closed", merge_commit_sha=commit, merged_at="2026-01-01T00:00:00Z", brought=brought)
        return commit

    # -- jobs ------------------------------------------------------------------------------------------------------

    def event(self, pull: Json | None = None) -> Json:
        """Return what GitHub tells a run."""
        return {"repository": {"default_branch": self.branch}, **({"pull_request": pull} if pull else {})}

    def job(
        self,
        command: str,
        event: str,
        *arguments: str,
        environ: Mapping[str, str],
        pull: Json | None = None,
        commit: str = "",
    ) -> Job:
        """Run a command of the pipeline as a job does: in a fresh checkout, with a runner's variables."""
        place, checkout = self.checkout(event, pull, commit)
        (place / "event.json").write_text(json.dumps(self.event(pull)), encoding="utf-8")
        env = {**self._variables(place, checkout, event), **environ}
        ran = Workplace(checkout, env).run("ci", command, *arguments)
        files = {name: self._text(place / name) for name in ("output", "summary")}
        found = re.findall(r"^(\w+)<<(\w+)\n(.*?)\n\2$", files["output"], re.MULTILINE | re.DOTALL)
        return Job(ran, {name: value for name, _, value in found}, files["summary"])

    def checkout(self, event: str, pull: Json | None, commit: str) -> tuple[Path, Path]:
        """Return a new job's folder, and the checkout in it."""
        self.jobs += 1
        place = self.folder / f"job-{self.jobs}"
        place.mkdir()
        checkout = place / "workspace"
        commit = commit or self.head
        git(place, "clone", "--quiet", "--no-checkout", str(self.bare), str(checkout))
        git(checkout, "fetch", "--quiet", "origin", "+refs/pull/*:refs/remotes/pull/*")
        git(checkout, "checkout", "--quiet", "--detach", commit)
        if event == "pull_request":
            assert pull
            git(checkout, "merge", "--quiet", "--no-ff", "--message", "Test merge", pull["head"]["sha"])
        return place, checkout

    def _variables(self, place: Path, checkout: Path, event: str) -> dict[str, str]:
        """Return what a runner tells a job."""
        return {
            **NOBODY,
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(place / "event.json"),
            "GITHUB_OUTPUT": str(place / "output"),
            "GITHUB_REF_NAME": self.branch,
            "GITHUB_REPOSITORY": NAME,
            "GITHUB_RUN_ID": str(self.jobs),
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_SHA": git(checkout, "rev-parse", "HEAD"),
            "GITHUB_STEP_SUMMARY": str(place / "summary"),
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_WORKSPACE": str(checkout),
        }

    @staticmethod
    def _text(path: Path) -> str:
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def comment(self, number: int) -> str:
        """Return our one comment of a pull request."""
        (only,) = [comment for comment in self.comments[number] if comment["user"]["login"] == BOT]
        return str(only["body"])

    def status(self, pull: Json) -> tuple[str, str]:
        """Return the latest status of a pull request's head."""
        found = next(each for each in self.statuses[::-1] if each["sha"] == pull["head"]["sha"])
        return found["state"], found["description"]

    # -- the REST API ----------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """Answer a call."""
        for pattern, give in _ANSWERS:
            if match := re.fullmatch(pattern, f"{method} {path}"):
                answer: tuple[int, Any] = give(self, match, query, body)
                return answer
        found = self.answers.get(path, 404)
        return (found, {"message": "Not Found"}) if isinstance(found, int) else (200, found)

    def shown_status(self, match: re.Match[str], _query: Mapping[str, str], body: Json) -> tuple[int, Any]:
        """Take a status of a commit."""
        self.statuses.append({"sha": match[1], **body})
        return 201, body

    def made_comment(self, match: re.Match[str], _query: Mapping[str, str], body: Json) -> tuple[int, Any]:
        """Take a comment."""
        self.comments.setdefault(int(match[1]), []).append({"id": self._next_id(), "user": {"login": BOT}, **body})
        return 201, {}

    def changed_comment(self, match: re.Match[str], _query: Mapping[str, str], body: Json) -> tuple[int, Any]:
        """Take a changed comment."""
        (found,) = [each for every in self.comments.values() for each in every if each["id"] == int(match[1])]
        found.update(body)
        return 200, found

    def _next_id(self) -> int:
        return 1 + sum(map(len, self.comments.values()))

    def pulls_of(self, match: re.Match[str], _query: Mapping[str, str], _body: Json) -> tuple[int, Any]:
        """Return the pull requests that brought a commit into the default branch."""
        return 200, [pull for pull in self.pulls if match[1] in pull.get("brought", ())]


def _listed(give: Callable[[GitHub, re.Match[str]], list[Any]]) -> Any:
    """Return an answer that comes in pages."""

    def answer(host: GitHub, match: re.Match[str], query: Mapping[str, str], _body: Any) -> tuple[int, Any]:
        size, number = int(query.get("per_page", "30")), int(query.get("page", "1"))
        return 200, give(host, match)[(number - 1) * size : number * size]

    return answer


_ANSWERS: Final[list[tuple[str, Any]]] = [
    (r"GET /pulls", _listed(lambda host, _: [pull for pull in host.pulls[::-1] if pull["state"] == "open"])),
    (r"GET /pulls/(\d+)", lambda host, match, _query, _body: (200, host.pulls[int(match[1]) - 1])),
    (r"GET /commits/(\w+)/pulls", GitHub.pulls_of),
    (
        r"GET /commits/(\w+)/statuses",
        _listed(lambda host, match: [each for each in host.statuses[::-1] if each["sha"] == match[1]]),
    ),
    (r"POST /statuses/(\w+)", GitHub.shown_status),
    (r"GET /issues/(\d+)/comments", _listed(lambda host, match: host.comments.get(int(match[1]), []))),
    (r"POST /issues/(\d+)/comments", GitHub.made_comment),
    (r"PATCH /issues/comments/(\d+)", GitHub.changed_comment),
    (
        r"GET /environments/([^/]+)",
        lambda host, match, _query, _body: (
            (200, host.environments[match[1]]) if match[1] in host.environments else (404, {"message": "Not Found"})
        ),
    ),
]


class _Handler(BaseHTTPRequestHandler):
    """Answers for `host`, which a class of its own has."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits for an acknowledgement of its head
    host: GitHub

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"null")
        path = url.path.removeprefix(self.host.prefix)
        call = f"{self.command} {path}"
        self.host.calls[call] += 1
        for start in [start for start in self.host.before if call.startswith(start)]:
            self.host.before.pop(start)()
        if refused := self._refused(call):
            self._send(*refused)
            return
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        status, found = self.host.answer(self.command, path, query, body)
        if isinstance(found, list) and len(found) == int(query.get("per_page", "0")):
            number = int(query.get("page", "1")) + 1
            more = f'<{self.host.url}{url.path}?per_page={len(found)}&page={number}>; rel="next"'
            self._send(status, found, Link=more)
            return
        self._send(status, found)

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

    def _refused(self, call: str) -> tuple[int, Any] | None:
        for entry in self.host.failing:
            if call.startswith(entry[0]):
                self.host.failing.remove(entry)
                return entry[1], {"message": "Server Error"}
        token = (self.headers["Authorization"] or self.headers["PRIVATE-TOKEN"] or "").removeprefix("Bearer ")
        if token not in {TOKEN, READ_ONLY}:
            return 401, {"message": "Bad credentials"}
        if not call.startswith("GET") and token == READ_ONLY:
            return 403, {"message": "Resource not accessible by integration"}
        return None

    def _send(self, status: int, found: Any, **headers: str) -> None:
        data = json.dumps(found).encode()
        self.send_response(status)
        if status == HTTPStatus.FORBIDDEN:
            headers["X-Accepted-GitHub-Permissions"] = "pull_requests=write"
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


@contextmanager
def served(host: GitHub) -> Iterator[None]:
    """Serve the REST API on loopback."""
    handler = type("Handler", (_Handler,), {"host": host})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        host.url = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
