"""The configuration: which layer wins, what each key takes, and how a mistake is named."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from reconciler.config.settings import KEYS, Settings, configure, secret
from reconciler.errors import ConfigError

EMEA: Final = "https://emea.api.newvoicemedia.com"
NAM: Final = "https://nam.api.newvoicemedia.com"
LOCAL: Final = "http://127.0.0.1:8000"


def configured(folder: Path, text: str | None = None, environ: dict[str, str] | None = None, **more: Any) -> Settings:
    """Return the settings of a folder with this reconciler.yaml."""
    if text is not None:
        (folder / "reconciler.yaml").write_text(text, encoding="utf-8")
    variables = {f"RECONCILER_{name}": value for name, value in (environ or {}).items()}
    return configure(folder, variables, **more)


def refused(folder: Path, text: str | None = None, environ: dict[str, str] | None = None, **more: Any) -> ConfigError:
    """Return how the configuration is refused."""
    with pytest.raises(ConfigError) as error:
        configured(folder, text, environ, **more)
    return error.value


def test_every_default_is_the_documented_one(tmp_path: Path) -> None:
    """Without file, variables and flags there are the defaults, and no URL."""
    assert configured(tmp_path) == Settings(
        folder=tmp_path,
        interactions=tmp_path / "interactions",
        state=tmp_path / "reconciler.state.json",
        environment=None,
        region=None,
        base_url=None,
        token_url=None,
        account=None,
        sensitive=frozenset({"clid", "interactionproperty"}),
        linkeddata_types=frozenset(),
        max_release_percent=30,
        max_releases=None,
        max_dispatches=None,
        release_attempts=3,
        on_unknown="resend",
        resend_within=timedelta(hours=24),
        parallelism=4,
        timeout=30.0,
        request_bytes=100_000,
    )


def test_every_key_is_a_setting() -> None:
    """Each key that can be set is a setting of the same name, and each has a variable."""
    names = {field.name for field in fields(Settings)}
    assert set(KEYS) <= names
    assert names - set(KEYS) == {"folder", "environment", "warnings"}


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "---\n", "region:\nenvironments:\n"])
def test_nothing_in_the_file_is_nothing_set(tmp_path: Path, text: str | None) -> None:
    """An empty file, and keys without a value, leave the defaults."""
    assert configured(tmp_path, text) == configured(tmp_path)


FILE: Final = """\
parallelism: 2
timeout: 5
release_attempts: 7
environments:
  prod:
    parallelism: 3
    timeout: 6
"""


def test_precedence(tmp_path: Path) -> None:
    """A flag is stronger than a variable, that than the environment's part of the file, that than the file."""
    environ = {"PARALLELISM": "8", "STATE": "variable.json"}
    settings = configured(tmp_path, FILE, environ, environment="prod", flags={"state": "flag.json"})
    assert (settings.state.name, settings.parallelism, settings.timeout, settings.release_attempts) == (
        "flag.json",
        8,
        6.0,
        7,
    )
    assert configured(tmp_path, FILE).parallelism == 2


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """CI systems set variables to nothing: that is no value."""
    settings = configured(tmp_path, FILE, {"PARALLELISM": "", "ENV": "", "STATE": ""})
    assert (settings.parallelism, settings.environment, settings.state.name) == (2, None, "reconciler.state.json")


VARIABLES: Final[list[tuple[str, str, str, Any]]] = [
    ("region", "nam", "region: nam", "nam"),
    ("base_url", LOCAL, f"base_url: {LOCAL}", LOCAL),
    ("token_url", f"{LOCAL}/t", f"token_url: {LOCAL}/t", f"{LOCAL}/t"),
    ("account", "prod uk", "account: prod uk", "prod uk"),
    ("sensitive", "clid, name,", "sensitive: [clid, name]", frozenset({"clid", "name"})),
    ("linkeddata_types", "a:b", "linkeddata_types: ['a:b']", frozenset({"a:b"})),
    ("max_release_percent", "0", "max_release_percent: 0", 0),
    ("max_release_percent", "100", "max_release_percent: 100", 100),
    ("max_releases", "0", "max_releases: 0", 0),
    ("max_dispatches", "12", "max_dispatches: 12", 12),
    ("release_attempts", "0", "release_attempts: 0", 0),
    ("on_unknown", "hold", "on_unknown: hold", "hold"),
    ("resend_within", "90m", "resend_within: 90m", timedelta(minutes=90)),
    ("parallelism", "64", "parallelism: 64", 64),
    ("timeout", "0.5", "timeout: 0.5", 0.5),
    ("request_bytes", "1000", "request_bytes: 1000", 1000),
]


@pytest.mark.parametrize(("key", "variable", "text", "value"), VARIABLES)
def test_each_key_by_variable_and_by_file(tmp_path: Path, key: str, variable: str, text: str, value: object) -> None:
    """What a variable says and what the file says mean the same."""
    assert getattr(configured(tmp_path, None, {key.upper(): variable}), key) == value
    assert getattr(configured(tmp_path, text), key) == value


@pytest.mark.parametrize(
    ("text", "duration"),
    [("0s", 0), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800)],
)
def test_durations(tmp_path: Path, text: str, duration: int) -> None:
    """A duration is a whole number with its unit."""
    assert configured(tmp_path, f"resend_within: {text}").resend_within == timedelta(seconds=duration)


WRONG: Final = [
    ("region: eu", "region: must be one of emea, nam, apac"),
    ("region: 5", "region: must be one of"),
    ("base_url: 5", "base_url: must be a text"),
    ("account: ' '", "account: must be a text that is not empty"),
    ("state: []", "state: must be a text"),
    ("sensitive: {a: b}", "sensitive: must be a list of texts"),
    ("sensitive: [1]", "sensitive: must be a list of texts"),
    ("linkeddata_types: ['']", "linkeddata_types: must be a list of texts"),
    ("max_release_percent: 101", "max_release_percent: must be a whole number from 0 to 100"),
    ("max_release_percent: -1", "max_release_percent: must be a whole number"),
    ("max_release_percent: 30.5", "max_release_percent: must be a whole number"),
    ("max_release_percent: true", "max_release_percent: must be a whole number"),
    ("max_releases: many", "max_releases: must be a whole number"),
    ("max_releases: '0000000000005'", "max_releases: must be a whole number"),
    ("max_releases: '٥'", "max_releases: must be a whole number"),
    ("release_attempts: 1001", "release_attempts: must be a whole number from 0 to 1000"),
    ("on_unknown: burn", "on_unknown: must be one of resend, hold"),
    ("on_unknown: [hold]", "on_unknown: must be one of"),
    ("resend_within: 24", "resend_within: must be a duration such as 90s, 30m, 24h or 7d"),
    ("resend_within: 24 h", "resend_within: must be a duration"),
    ("resend_within: -1h", "resend_within: must be a duration"),
    ("resend_within: 1.5h", "resend_within: must be a duration"),
    ("resend_within: 1w", "resend_within: must be a duration"),
    ("parallelism: 0", "parallelism: must be a whole number from 1 to 64"),
    ("parallelism: 65", "parallelism: must be"),
    ("timeout: 0", "timeout: must be a number of seconds"),
    ("timeout: 3601", "timeout: must be a number of seconds"),
    ("timeout: nan", "timeout: must be a number of seconds"),
    ("timeout: .inf", "timeout: must be a number of seconds"),
    ("timeout: true", "timeout: must be a number of seconds"),
    ("request_bytes: 999", "request_bytes: must be a whole number from 1000"),
    ("regoin: emea", "regoin: there is no such key"),
    ("environments: [a]", "environments: must be a map of maps"),
    ("environments: {a: 1}", "environments: must be a map of maps"),
    ("environments: {other: {regoin: emea}}", "environments.other.regoin: there is no such key"),
    ("environments: {other: {timeout: 0}}", "environments.other.timeout: must be a number"),
    ("environments: {other: {environments: {}}}", "environments.other.environments: there is no such key"),
    ("client_secret: x", "client_secret: there is no such key"),
    ("- a", "must hold a mapping"),
    ("region: emea\n---\nregion: nam", "more than one document"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Each message starts with the file, names the key, and says what it takes, in environments not picked too."""
    error = refused(tmp_path, text)
    assert str(error).startswith(str(tmp_path / "reconciler.yaml"))
    assert said in str(error)


def test_a_file_that_is_no_yaml_has_its_problems(tmp_path: Path) -> None:
    """What the parser refuses comes with file, line and column."""
    (problem,) = refused(tmp_path, "region: emea\nregion: nam\n").problems
    assert (problem.line, problem.column, problem.code) == (2, 1, "duplicate-key")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("REGION", "eu", "RECONCILER_REGION: must be one of emea, nam, apac"),
        ("MAX_RELEASES", "-1", "RECONCILER_MAX_RELEASES: must be a whole number"),
        ("MAX_RELEASES", "1_000", "RECONCILER_MAX_RELEASES: must be a whole number"),
        ("TIMEOUT", "soon", "RECONCILER_TIMEOUT: must be a number of seconds"),
        ("RESEND_WITHIN", "1 day", "RECONCILER_RESEND_WITHIN: must be a duration"),
        ("BASE_URL", "http://evil.example", "RECONCILER_BASE_URL: plain http goes to this machine only"),
    ],
)
def test_a_mistake_in_a_variable_is_named(tmp_path: Path, variable: str, value: str, said: str) -> None:
    """The message starts with the variable."""
    assert str(refused(tmp_path, None, {variable: value})).startswith(said)


def test_hints(tmp_path: Path) -> None:
    """A key that is nearly right gets the right one; any other gets the list."""
    assert refused(tmp_path, "regoin: emea").hint == "Did you mean region?"
    assert refused(tmp_path, "zzz: 1").hint.startswith("Known keys: region, base_url")


def test_unknown_variables_are_warned_about(tmp_path: Path) -> None:
    """A variable that nothing reads is likely misspelt; ours, and other programs', are not."""
    known = dict.fromkeys(["CLIENT_ID", "CLIENT_SECRET_FILE", "ACCESS_TOKEN", "JOB_URL", "ENV"], "x")
    assert configured(tmp_path, "environments: {x: {}}", known).warnings == ()
    assert configured(tmp_path, None, {"REGOIN": "emea"}).warnings == (
        "RECONCILER_REGOIN is not a variable of reconciler; RECONCILER_REGION?",
    )
    assert configure(tmp_path, {"OTHER_REGOIN": "x"}).warnings == ()


# -- environments ------------------------------------------------------------------------------------------------

TWO: Final = """\
environments:
  prod: {region: emea, account: prod-uk}
  test: {region: nam, state: states/test.json}
"""


def test_an_environment_is_picked_by_flag_or_variable(tmp_path: Path) -> None:
    """The flag is stronger than the variable, and the state's default has the environment's name."""
    prod, test = configured(tmp_path, TWO, environment="prod"), configured(tmp_path, TWO, {"ENV": "test"})
    assert (prod.base_url, prod.account, prod.state) == (EMEA, "prod-uk", tmp_path / "reconciler.prod.state.json")
    assert (test.base_url, test.account, test.state) == (NAM, None, tmp_path / "states" / "test.json")
    assert configured(tmp_path, TWO, {"ENV": "test"}, environment="prod").environment == "prod"


def test_an_environment_that_is_not_there(tmp_path: Path) -> None:
    """A wrong name is refused with the right ones; where there are no environments, it just names the state."""
    error = refused(tmp_path, TWO, environment="pord")
    assert "environment 'pord' is not in" in str(error)
    assert error.hint == "It has: prod, test."
    plain = tmp_path / "plain"
    plain.mkdir()
    assert configured(plain, environment="qa").state.name == "reconciler.qa.state.json"


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "a b", "-a", "é", "a\n"])
def test_the_name_of_an_environment_is_part_of_a_file_name(tmp_path: Path, name: str) -> None:
    """What could lead to another folder is refused."""
    assert "letters, digits, - and _ only" in str(refused(tmp_path, environment=name))


# -- where requests go -------------------------------------------------------------------------------------------


def test_a_region_sets_both_urls(tmp_path: Path) -> None:
    """The documented hosts of the region."""
    settings = configured(tmp_path, "region: emea")
    assert settings.base_url == EMEA
    assert settings.token_url == "https://emea.cc.vonage.com/Auth/connect/token"


def test_a_loopback_base_url_brings_its_token_url(tmp_path: Path) -> None:
    """A sandbox on this machine needs no second URL; any other base URL does not get one by guessing."""
    assert configured(tmp_path, f"base_url: {LOCAL}/").token_url == f"{LOCAL}/Auth/connect/token"
    assert configured(tmp_path, f"base_url: {LOCAL}/").base_url == LOCAL
    assert configured(tmp_path, None, {"BASE_URL": "https://proxy.example"}).token_url is None


def test_other_hosts_come_by_environment_only(tmp_path: Path) -> None:
    """What a file may not say, a variable may."""
    for key in ("base_url", "token_url"):
        error = refused(tmp_path, f"{key}: https://proxy.example")
        assert f"reconciler.yaml: {key}: in a file, only hosts under" in str(error)
        assert getattr(configured(tmp_path, "", {key.upper(): "https://proxy.example"}), key)
    nested = refused(tmp_path, "environments: {prod: {base_url: 'https://proxy.example'}}", environment="prod")
    assert "environments.prod.base_url" in str(nested)


def test_region_and_base_url_side_by_side_are_refused(tmp_path: Path) -> None:
    """Which one is meant can't be told, unless they say the same."""
    error = refused(tmp_path, f"region: emea\nbase_url: {LOCAL}")
    assert f"says emea, but {tmp_path / 'reconciler.yaml'}: base_url says {LOCAL}" in str(error)
    error = refused(tmp_path, "", {"REGION": "emea", "BASE_URL": LOCAL})
    assert str(error) == f"RECONCILER_REGION says emea, but RECONCILER_BASE_URL says {LOCAL}"
    assert configured(tmp_path, f"region: emea\nbase_url: {EMEA}/").token_url


@pytest.mark.parametrize(
    ("text", "environ", "environment"),
    [
        ("region: emea", {"BASE_URL": LOCAL}, None),
        (f"region: emea\nenvironments: {{dev: {{base_url: '{LOCAL}'}}}}", {}, "dev"),
        ("environments: {dev: {region: emea}}", {"BASE_URL": LOCAL}, "dev"),
    ],
)
def test_a_base_url_overrules_a_weaker_region(
    tmp_path: Path, text: str, environ: dict[str, str], environment: str | None
) -> None:
    """A base URL from a stronger layer is meant; the credentials don't go to the region's token endpoint either."""
    settings = configured(tmp_path, text, environ, environment=environment)
    assert (settings.base_url, settings.token_url) == (LOCAL, f"{LOCAL}/Auth/connect/token")


def test_a_region_does_not_overrule_a_base_url(tmp_path: Path) -> None:
    """A region from a stronger layer against a base URL of a weaker one is a contradiction, named with both places."""
    error = refused(tmp_path, f"base_url: {LOCAL}", {"REGION": "nam"})
    assert str(error).startswith("RECONCILER_REGION says nam, but ")


# -- paths -------------------------------------------------------------------------------------------------------


def test_paths_of_the_file_are_relative_to_it(tmp_path: Path) -> None:
    """A path in the file starts at the file's folder, one of a variable or flag at the working folder."""
    elsewhere = tmp_path / "config"
    elsewhere.mkdir()
    file = elsewhere / "other.yaml"
    file.write_text("interactions: ../decl\nstate: s.json\n", encoding="utf-8")
    settings = configured(tmp_path, None, file=file)
    assert (settings.folder, settings.interactions, settings.state) == (
        elsewhere,
        elsewhere / "../decl",
        elsewhere / "s.json",
    )
    given = configured(tmp_path, None, {"INTERACTIONS": "decl"}, file=file, flags={"state": "s.json"})
    assert (given.interactions, given.state) == (tmp_path / "decl", tmp_path / "s.json")
    file.write_text("", encoding="utf-8")
    assert configured(tmp_path, None, file=file).interactions == elsewhere / "interactions"


def test_paths_may_be_absolute(tmp_path: Path) -> None:
    """An absolute path, and one that starts at the home folder, is taken as it is."""
    settings = configured(tmp_path, f"interactions: {tmp_path}/x\nstate: ~/s.json")
    assert (settings.interactions, settings.state) == (tmp_path / "x", Path.home() / "s.json")


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    """Only the default file may be missing; a folder is no file."""
    assert "there is no such file" in str(refused(tmp_path, file=tmp_path / "no.yaml"))
    assert "it can't be read" in str(refused(tmp_path, file=tmp_path))


# -- secrets -----------------------------------------------------------------------------------------------------


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
