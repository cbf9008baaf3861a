"""Credentials: from a variable or the file that one names, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.config.credentials import secret
from reconciler.errors import ConfigError


def test_a_secret_comes_from_its_variable_or_file(tmp_path: Path) -> None:
    """The file's line break is not part of it; without either there is none."""
    file = tmp_path / "secret"
    file.write_text("hush\n", encoding="utf-8")
    assert secret({"RECONCILER_CLIENT_SECRET": "hush"}, "CLIENT_SECRET") == "hush"
    assert secret({"RECONCILER_CLIENT_SECRET_FILE": str(file)}, "CLIENT_SECRET") == "hush"
    assert secret({"RECONCILER_CLIENT_SECRET": "", "RECONCILER_CLIENT_SECRET_FILE": ""}, "CLIENT_SECRET") is None
    assert secret({}, "CLIENT_SECRET") is None


@pytest.mark.parametrize(
    ("environ", "content", "said"),
    [
        ({"": "planted", "_FILE": "FILE"}, b"planted", "RECONCILER_CLIENT_SECRET and RECONCILER_CLIENT_SECRET_FILE"),
        ({"_FILE": "FILE"}, b" \n", "RECONCILER_CLIENT_SECRET_FILE is empty"),
        ({"_FILE": "FILE"}, b"\xff\xfe", "RECONCILER_CLIENT_SECRET_FILE can't be read: UnicodeDecodeError"),
        ({"_FILE": "FILE"}, None, "RECONCILER_CLIENT_SECRET_FILE can't be read: FileNotFoundError"),
        ({"_FILE": "FILE"}, b"planted\nplanted", "RECONCILER_CLIENT_SECRET holds characters"),
        ({"": "planted\n"}, None, "RECONCILER_CLIENT_SECRET holds characters"),
        ({"": "plantéd"}, None, "RECONCILER_CLIENT_SECRET holds characters"),
    ],
)
def test_a_secret_that_can_not_be_one(
    tmp_path: Path, environ: dict[str, str], content: bytes | None, said: str
) -> None:
    """A secret that can't be used is refused without being shown, and so is one that is set twice."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    variables = {f"RECONCILER_CLIENT_SECRET{name}": value.replace("FILE", str(file)) for name, value in environ.items()}
    with pytest.raises(ConfigError) as error:
        secret(variables, "CLIENT_SECRET")
    assert str(error.value).startswith(said)
    assert "plant" not in str(error.value) + error.value.hint
