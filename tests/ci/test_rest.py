"""The client of platforms: what is tried again, what is said of a refusal, and where the token goes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from reconciler.ci.github import GitHub
from reconciler.ci.gitlab import GitLab
from reconciler.ci.platform import Verdict
from reconciler.ci.repository import GitError, Repository
from reconciler.ci.rest import Forbidden, NotFound, PlatformError, Unclear
from tests.ci.github import git

Answer = tuple[int, dict[str, str], Any]


class Server:
    """Answers what it is told, in order, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    def next(self) -> Answer:
        """Return what is to be answered; the last one again and again."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on loopback."""
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append((f"{self.command} {self.path}", dict(self.headers)))
            status, headers, body = told.next()
            if status == 0:  # hang up
                self.close_connection = True
                return
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_arguments: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        told.url = f"http://127.0.0.1:{running.server_port}"
        yield told
        running.shutdown()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give how long was waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr("reconciler.ci.rest.pause", waited.append)
    return waited


@pytest.fixture
def github(server: Server) -> Iterator[GitHub]:
    """Give a GitHub Enterprise Server, whose API is below a path."""
    environ = {"GITHUB_API_URL": f"{server.url}/api/v3", "GITHUB_REPOSITORY": "acme/calls", "GITHUB_TOKEN": "secret"}
    made = GitHub(environ)
    yield made
    made.close()


PULL = {"number": 1, "state": "open", "head": {"sha": "a"}, "base": {"ref": "main"}, "merged_at": None}


@pytest.mark.parametrize(
    ("first", "wait"),
    [
        ((502, {}, None), 1.0),
        ((0, {}, None), 1.0),
        ((429, {"Retry-After": "7"}, None), 7.0),
        ((403, {"Retry-After": "9"}, {"message": "secondary rate limit"}), 9.0),
        ((403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}, {}), 60.0),
    ],
    ids=["502", "hung up", "429", "secondary limit", "limit"],
)
def test_what_passes_is_tried_again(
    server: Server, github: GitHub, waits: list[float], first: Answer, wait: float
) -> None:
    """After an answer that may be another one soon, or none, the call is repeated, no sooner than the answer says."""
    server.answers = [first, (200, {}, [])]
    assert list(github.merged("abc")) == []
    assert waits == [wait]
    assert [asked for asked, _ in server.asked] == ["GET /api/v3/repos/acme/calls/commits/abc/pulls?per_page=100"] * 2


@pytest.mark.parametrize("first", [(502, {}, None), (0, {}, None)], ids=["502", "hung up"])
def test_what_may_have_been_done_is_not_repeated(
    server: Server, github: GitHub, waits: list[float], first: Answer
) -> None:
    """A new comment is not made again by the client: it may be there."""
    server.answers = [first, (200, {}, {})]
    with pytest.raises(Unclear):
        github.write_comment(1, None, "text")
    assert (len(server.asked), waits) == (1, [])


def test_it_ends(server: Server, github: GitHub, waits: list[float]) -> None:
    """Five tries, further and further apart, and then an error that names the call."""
    server.answers = [(503, {}, {"message": "No server"})]
    with pytest.raises(PlatformError, match=r"GitHub answered 503 to GET .*: No server"):
        list(github.merged("abc"))
    assert (len(server.asked), waits) == (5, [1.0, 2.0, 4.0, 8.0])


def of_github(server: Server) -> Callable[[], object]:
    """Return a call that needs a permission."""
    github = GitHub({"GITHUB_API_URL": server.url, "GITHUB_REPOSITORY": "acme/calls"})
    return lambda: github.record("abc", "reconciler", Verdict.PLANNED, "said")


def of_gitlab(server: Server) -> Callable[[], object]:
    """Return a call that needs a scope."""
    gitlab = GitLab({"CI_API_V4_URL": server.url, "CI_PROJECT_ID": "7"})
    return lambda: gitlab.record("abc", "reconciler", Verdict.PLANNED, "said")


@pytest.mark.parametrize(
    ("call", "answer", "kind", "hint"),
    [
        (
            of_github,
            (403, {"X-Accepted-GitHub-Permissions": "statuses=write"}, {"message": "Resource not accessible"}),
            Forbidden,
            "What the token lacks: statuses: write.",
        ),
        (of_github, (403, {"X-Accepted-OAuth-Scopes": "repo"}, {}), Forbidden, "What the token lacks: repo."),
        (of_github, (404, {}, {"message": "Not Found"}), NotFound, ""),
        (
            of_gitlab,
            (403, {}, {"error": "insufficient_scope", "scope": "api"}),
            Forbidden,
            "What the token lacks: the scope api.",
        ),
        (of_gitlab, (401, {}, {"message": "401 Unauthorized"}), Forbidden, ""),
    ],
)
def test_a_refusal_says_what_the_token_lacks(
    server: Server, call: Callable[[Server], Callable[[], object]], answer: Answer, kind: type[PlatformError], hint: str
) -> None:
    """As far as the platform tells it."""
    server.answers = [answer]
    with pytest.raises(kind) as caught:
        call(server)()
    assert caught.value.hint == hint


@pytest.mark.parametrize(("there", "pages"), [("{}/repositories/1300192/pulls", 2), ("{}0/x", 1), ("//a", 1)])
def test_the_next_page_is_asked_for_of_this_server_only(server: Server, github: GitHub, there: str, pages: int) -> None:
    """GitHub links to the repository by its number; the token goes to no other server, whatever an answer names."""
    link = {"Link": f'<{there.format(server.url)}?page=2>; rel="next"'}
    server.answers = [(200, link, [PULL]), (200, {}, [PULL])]
    assert list(github.merged("abc")) == []  # not merged
    assert len(server.asked) == pages


@pytest.mark.parametrize("address", ["http://a:port/", "http://\x00", "nonsense", "http://127.0.0.1:1"])
def test_an_address_that_is_none(address: str, waits: list[float]) -> None:
    """A wrong address of the API is an error of ours, whatever is wrong with it."""
    with pytest.raises(PlatformError):
        list(GitHub({"GITHUB_API_URL": address, "GITHUB_REPOSITORY": "acme/calls"}).merged("abc"))
    assert len(waits) in {0, 4}


def test_the_token_goes_to_the_remote_and_nowhere_else(server: Server, tmp_path: Path) -> None:
    """Git asks the remote with the token, which stands in no file of the clone and in no message."""
    server.answers = [(403, {}, {})]
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", f"{server.url}/calls.git")
    with pytest.raises(GitError) as caught:
        Repository(tmp_path, "x-access-token", "planted-token").fetch("a" * 40)
    wanted = "Basic " + base64.b64encode(b"x-access-token:planted-token").decode()
    assert [headers["Authorization"] for _, headers in server.asked] == [wanted]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"planted-token" not in kept + str(caught.value).encode()
