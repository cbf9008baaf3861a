"""An environment is added to a configuration, and nothing else of it changes."""

from __future__ import annotations

import pytest

from reconciler.config.environments import with_environment

LINES = ["region: nam"]
BLOCK = "  new:\n    region: nam\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"environments:\n{BLOCK}"),
        ("# nothing yet\n", f"# nothing yet\nenvironments:\n{BLOCK}"),
        ("region: emea", f"region: emea\nenvironments:\n{BLOCK}"),
        ("environments:\n", f"environments:\n{BLOCK}"),
        ("environments:\n# of each\nregion: emea\n", f"environments:\n{BLOCK}# of each\nregion: emea\n"),
        (
            "environments: # all\n    # a first\n    one:\n        region: apac\n",
            "environments: # all\n    new:\n      region: nam\n    # a first\n    one:\n        region: apac\n",
        ),
        ("environments:\n  new:\n    region: apac\n", "environments:\n  new:\n    region: apac\n"),
        ("region: emea\r\n", "region: emea\r\nenvironments:\r\n  new:\r\n    region: nam\r\n"),
        ("sensitive: &s [clid]\n", f"sensitive: &s [clid]\nenvironments:\n{BLOCK}"),
    ],
)
def test_it_is_added(before: str, after: str) -> None:
    """It stands below the key, before what is there; comments and line ends stay."""
    made = with_environment(before.encode(), "new", LINES)
    assert made == after.encode()
    assert with_environment(made, "new", ["region: apac"]) == made


@pytest.mark.parametrize(
    "before",
    [
        "{region: emea}\n",
        "environments: {}\n",
        "environments: {one: {region: emea}}\n",
        "environments: [one]\n",
        "region: [\n",
        "- region\n",
        "region: emea\n---\nregion: nam\n",
        "environments: &e\n  one: {region: nam}\n...\n",
        'account: "a\n',
    ],
)
def test_where_it_can_not_be_added_nothing_is_made(before: str) -> None:
    """What would become something else, or can't be read, is left to a person."""
    made = with_environment(before.encode(), "new", LINES)
    assert made is None or made.decode().replace("  new:\n    region: nam\n", "") == before


def test_comments_alone_make_an_environment() -> None:
    """An environment of which nothing is set yet has only comments."""
    assert with_environment(b"region: emea\n", "new", ["# region: nam"]) == (
        b"region: emea\nenvironments:\n  new:\n    # region: nam\n"
    )
