"""An editor's own language server completes, explains and checks the files that `init` made, offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

import pytest

from tests.command import Workplace
from tests.conftest import ROOT

SERVER: Final = ROOT / ".venv" / "node" / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
SETTINGS: Final = {"schemaStore": {"enable": False}, "completion": True, "hover": True, "validate": True}

CAPABILITIES: Final = {
    "workspace": {"configuration": True},
    "textDocument": {"hover": {"contentFormat": ["markdown"]}, "publishDiagnostics": {}},
}


class Editor:
    """Speaks LSP with a server."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], folder: Path) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._asked = 0
        self.diagnostics: dict[str, list[dict[str, Any]]] = {}
        self.ask("initialize", {"processId": os.getpid(), "rootUri": folder.as_uri(), "capabilities": CAPABILITIES})
        self.tell("initialized", {})
        self.tell("workspace/didChangeConfiguration", {"settings": {"yaml": SETTINGS}})

    def tell(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def ask(self, method: str, params: Any) -> Any:
        """Send a request and return its result."""
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while (message := self._receive()).get("id") != self._asked or "method" in message:
            pass
        assert "error" not in message, message
        return message["result"]

    def checked(self, uri: str) -> list[dict[str, Any]]:
        """Return what the server finds wrong in a file that was opened."""
        while uri not in self.diagnostics:
            self._receive()
        return self.diagnostics.pop(uri)

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        self._stdin.flush()

    def _receive(self) -> dict[str, Any]:
        """Read a message; answer it if it is a question, note what was found wrong."""
        length = 0
        while (line := self._stdout.readline()) != b"\r\n":
            assert line, "the server has ended"
            name, _, value = line.partition(b":")
            length = int(value) if name == b"Content-Length" else length
        message: dict[str, Any] = json.loads(self._stdout.read(length))
        method, params = message.get("method"), message.get("params", {})
        if method == "textDocument/publishDiagnostics":
            self.diagnostics[params["uri"]] = params["diagnostics"]
        elif method == "workspace/configuration":
            answers = [SETTINGS if item["section"] == "yaml" else {} for item in params["items"]]
            self._send({"id": message["id"], "result": answers})
        elif method and "id" in message:
            self._send({"id": message["id"], "result": None})
        return message


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Return a folder as `init` makes it."""
    place = Workplace(tmp_path_factory.mktemp("edited"))
    assert place.run("init").code == 0
    return place


@pytest.fixture(scope="module")
def editor(place: Workplace) -> Iterator[Editor]:
    """Give an editor with its server."""
    node = shutil.which("node", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert node, "node is missing: run make test, which installs it"
    assert SERVER.exists(), "the language server is missing: run make test, which installs it"
    with subprocess.Popen([node, SERVER, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        yield Editor(process.stdin, process.stdout, place.folder)
        process.kill()


@dataclass(frozen=True)
class Edited:
    """A file in the editor."""

    editor: Editor
    uri: str
    text: str

    @classmethod
    def of(cls, editor: Editor, path: Path, more: str) -> Self:
        """Open a file and write more below what it holds."""
        edited = cls(editor, path.as_uri(), path.read_text(encoding="utf-8") + more)
        document = {"uri": edited.uri, "languageId": "yaml", "version": 1, "text": edited.text}
        editor.tell("textDocument/didOpen", {"textDocument": document})
        return edited

    def completed(self, word: str) -> list[str]:
        """Return what is offered at the end of a word."""
        offered = self._ask("completion", self.text.rindex(word) + len(word))
        return [item["label"] for item in offered["items"]]

    def explained(self, word: str) -> str:
        """Return what is shown when a word is pointed at."""
        return str(self._ask("hover", self.text.rindex(word))["contents"]["value"])

    def _ask(self, what: str, position: int) -> Any:
        asked = {"textDocument": {"uri": self.uri}, "position": self.place(position)}
        return self.editor.ask(f"textDocument/{what}", asked)

    def place(self, position: int) -> dict[str, int]:
        """Return a position as line and character."""
        *lines, last = self.text[:position].split("\n")
        return {"line": len(lines), "character": len(last)}

    def wrong(self, word: str) -> list[str]:
        """Return what is found wrong where a word stands."""
        place = self.place(self.text.rindex(word))
        return [each["message"] for each in self.editor.checked(self.uri) if each["range"]["start"] == place]


DECLARED: Final = """
interactions:
  - externalid: A
    route: R
    lifecycle:
      on_change: keeep
      prev
"""
CONFIGURED: Final = """
timeout: 5
environments:
  prod:
    on_unknown: holdd
    max_rel
"""


def test_a_declaration_is_edited(editor: Editor, place: Workplace) -> None:
    """A field that was begun is completed, one that is pointed at is explained, a wrong value is marked."""
    edited = Edited.of(editor, place.folder / "interactions" / "example.yaml", DECLARED)
    assert "prevent_release" in edited.completed("prev")
    assert "The named route of an interaction plan" in edited.explained("route: R")
    assert any('Valid values: "replace", "keep"' in each for each in edited.wrong("keeep"))


def test_the_configuration_is_edited(editor: Editor, place: Workplace) -> None:
    """So it is with a key, in an environment too."""
    edited = Edited.of(editor, place.folder / "reconciler.yaml", CONFIGURED)
    assert "max_release_percent" in edited.completed("max_rel")
    assert "Seconds for each call as a whole." in edited.explained("timeout: 5")
    assert any('Valid values: "resend", "hold"' in each for each in edited.wrong("holdd"))
