"""The configuration: which layer wins, what each key takes, and how a mistake is named."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from reconciler.config.layers import Settings, configure
from reconciler.config.settings import Configuration
from reconciler.errors import ConfigError
from reconciler.render.problems import problems_text

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


def test_nothing_set_is_every_default(tmp_path: Path) -> None:
    """Without file, variables and flags there are the defaults, and no URL."""
    assert configured(tmp_path) == Settings(
        keys=Configuration(),
        folder=tmp_path,
        interactions=tmp_path / Configuration().interactions,
        state=tmp_path / Configuration().state,
        environment=None,
        base_url=None,
        token_url=None,
        warnings=(),
    )


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
    assert Path(settings.state).name == "flag.json"
    assert (settings.keys.parallelism, settings.keys.timeout, settings.keys.release_attempts) == (8, 6.0, 7)
    assert configured(tmp_path, FILE).keys.parallelism == 2


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """CI systems set variables to nothing: that is no value."""
    settings = configured(tmp_path, FILE, {"PARALLELISM": "", "ENV": "", "STATE": ""})
    assert (settings.keys.parallelism, settings.environment, Path(settings.state).name) == (
        2,
        None,
        "reconciler.state.json",
    )


def values() -> list[tuple[str, object]]:
    """Return each key with what it takes: the lowest and the highest number, each choice, its examples."""
    found: list[tuple[str, object]] = []
    for key, whole in Configuration.model_json_schema()["properties"].items():
        if key == "policy":  # in the file only
            continue
        part = whole | next((part for part in whole.get("anyOf", ()) if part["type"] != "null"), {})
        limits = [part[limit] for limit in ("minimum", "exclusiveMinimum", "maximum") if limit in part]
        usual = [["a", "b"]] if part["type"] == "array" else ["a b"]
        some = part.get("enum") or part.get("examples") or limits or usual
        found += [(key, value or 0.5 if "exclusiveMinimum" in part else value) for value in some]
    return found


@pytest.mark.parametrize(("key", "value"), values())
def test_each_key_by_variable_and_by_file(tmp_path: Path, key: str, value: Any) -> None:
    """What a variable says and what the file says mean the same."""
    variable = ", ".join(value) if isinstance(value, list) else str(value)
    assert getattr(configured(tmp_path, None, {key.upper(): variable}).keys, key) == value
    assert getattr(configured(tmp_path, json.dumps({key: value})).keys, key) == value


@pytest.mark.parametrize(
    ("text", "duration"),
    [("0s", 0), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800)],
)
def test_durations(tmp_path: Path, text: str, duration: int) -> None:
    """A duration is a whole number with its unit."""
    keys = configured(tmp_path, f"resend_within: {text}").keys
    assert keys.plan_policy.resend_within == timedelta(seconds=duration)


WHOLE: Final = "must be a whole number from"
WRONG: Final = [
    ("region: eu", 9, "region must be one of emea, nam, apac [wrong-value]"),
    ("region: 5", 9, "region must be one of emea, nam, apac [wrong-value]"),
    ("base_url: 5", 11, "base_url must be a text such as https://emea.api.newvoicemedia.com, this is an integer"),
    ("account: ' '", 10, "account must be a text such as prod-uk [wrong-value]"),
    ("state: []", 8, "state must be a text that is not empty, this is a list [wrong-type]"),
    ("sensitive: {a: b}", 12, "sensitive must be a list of texts, this is a mapping [wrong-type]"),
    ("sensitive: a", 12, "this is a string [wrong-type]\n  hint: write it as a list: `[a, b]`"),
    ("policy: {}", 9, "policy must be a list of maps, this is a mapping [wrong-type]"),
    ("policy: [5]", 10, "policy.0 must be a map of keys to values, this is an integer [wrong-type]"),
    ("policy: [{message: m, most: 1}]", 10, "policy.0 has no 'id' [missing-field]"),
    (
        "policy: [{id: a, message: m, most: 1, ownr: x}]",
        39,
        "there is no such key [unknown-key]\n  hint: did you mean ow",
    ),
    ("policy: [{id: a b, message: m, most: 1}]", 15, "policy.0.id must be a text such as crm-only [wrong-value]"),
    ("policy: [{id: a, message: m, most: 1, severity: no}]", 49, "policy.0.severity must be one of deny, warn [wrong"),
    ("policy: [{id: a, message: m, most: -1}]", 36, f"policy.0.most {WHOLE} 0 to 10,000,000 [wrong-value]"),
    ("policy: [{id: a, message: m, routes: R}]", 38, "policy.0.routes must be a list of texts, this is a string"),
    ("policy: [{id: a, message: m, routes: [1]}]", 39, "policy.0.routes.0 must be a list of texts, this is an integ"),
    ("policy: [{id: a, message: m}]", 10, "policy.0: it demands nothing [wrong-value]\n  hint: give it one of iden"),
    ("policy: [{id: a, message: m, most: 1}, {id: a, message: n, most: 2}]", 45, "policy: 'a' stands twice [wrong-"),
    ("sensitive: [1]", 13, "sensitive.0 must be a list of texts, this is an integer [wrong-type]"),
    ("linkeddata_types: ['']", 20, "linkeddata_types.0 must be a list of texts [wrong-value]"),
    ("max_release_percent: 101", 22, f"max_release_percent {WHOLE} 0 to 100 [wrong-value]"),
    ("max_release_percent: -1", 22, f"max_release_percent {WHOLE} 0 to 100 [wrong-value]"),
    ("max_release_percent: 30.5", 22, f"max_release_percent {WHOLE} 0 to 100, this is a number with a fraction"),
    ("max_release_percent: true", 22, f"max_release_percent {WHOLE} 0 to 100, this is a boolean [wrong-type]"),
    ("max_releases: many", 15, f"max_releases {WHOLE} 0 to 10,000,000, this is a string [wrong-type]\n"),
    ("max_releases: '5'", 15, "this is a string [wrong-type]\n  hint: write it without quotes"),
    ("on_unknown: [hold]", 13, "on_unknown must be one of resend, hold"),
    ("resend_within: 24", 16, "resend_within must be a text such as 90s, 30m, 24h, 7d, this is an integer"),
    ("resend_within: 24 h", 16, "resend_within must be a text such as 90s, 30m, 24h, 7d [wrong-value]"),
    ("resend_within: -1h", 16, "resend_within must be"),
    ("resend_within: 1.5h", 16, "resend_within must be"),
    ("resend_within: 1w", 16, "resend_within must be"),
    ("parallelism: 0", 14, f"parallelism {WHOLE} 1 to 64, or auto [wrong-value]"),
    ("timeout: 0", 10, "timeout must be a number above 0, up to 3,600 [wrong-value]"),
    ("timeout: nan", 10, "timeout must be a number"),
    ("timeout: .nan", 10, "timeout must be a number"),
    ("timeout: .inf", 10, "timeout must be a number"),
    ("timeout: true", 10, "timeout must be a number above 0, up to 3,600, this is a boolean"),
    ("timeout: '5'", 10, "this is a string [wrong-type]\n  hint: write it without quotes"),
    ("regoin:", 1, "regoin: there is no such key [unknown-key]\n  hint: did you mean region?"),
    ("zzz: 1", 1, "zzz: there is no such key [unknown-key]\n  hint: known keys: region, base_url"),
    ("environments: [a]", 15, "environments must be a map of maps, this is a list [wrong-type]"),
    ("environments: {a: 1}", 19, "environments.a must be a map of keys to values, this is an integer"),
    ("environments: {a b: {}}", 16, "environments.a b: a name has letters, digits, - and _ only"),
    ("environments: {a: {regoin: emea}}", 20, "environments.a.regoin: there is no such key"),
    ("environments: {a: {timeout: 0}}", 29, "environments.a.timeout must be a number"),
    ("environments: {a: {environments: {}}}", 20, "environments.a.environments: there is no such key"),
    ("client_secret: x", 1, "client_secret: there is no such key"),
    ("- a", 1, "the file must be a map of keys to values, this is a list [wrong-type]"),
]


@pytest.mark.parametrize(("text", "column", "said"), WRONG)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, column: int, said: str) -> None:
    """Each is named with line and column, and what the key takes, in environments that are not picked too."""
    (problem,) = refused(tmp_path, f"# one\n{text}").problems
    shown = problems_text([problem])
    assert shown.startswith(f"{tmp_path / 'reconciler.yaml'}:2:{column}: error: ")
    assert said in shown


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("REGION", "eu", "region must be one of emea, nam, apac"),
        ("MAX_RELEASES", "-1", f"max_releases {WHOLE} 0"),
        ("MAX_RELEASES", "1_000", f"max_releases {WHOLE} 0"),
        ("MAX_RELEASES", "٥", f"max_releases {WHOLE} 0"),
        ("TIMEOUT", "soon", "timeout must be a number"),
        ("RESEND_WITHIN", "1 day", "resend_within must be a text such as 90s"),
        ("BASE_URL", "http://evil.example", "base_url: plain http goes to this machine only [url]\n  hint: use https"),
    ],
)
def test_a_mistake_in_a_variable_is_named(tmp_path: Path, variable: str, value: str, said: str) -> None:
    """The message starts with the variable."""
    (problem,) = refused(tmp_path, None, {variable: value}).problems
    assert problems_text([problem]).startswith(f"RECONCILER_{variable}: error: {said}")


def test_every_mistake_is_named_in_one_run(tmp_path: Path) -> None:
    """Those of the file, of each environment, of variables and flags come together, overruled or not."""
    text = "timeout: 0\nregion: eu\nenvironments: {test: {timeout: x}}\n"
    error = refused(tmp_path, text, {"TIMEOUT": "5", "REGION": "us"}, flags={"state": " "})
    file = tmp_path / "reconciler.yaml"
    places = ["--state", f"{file}:1:10", f"{file}:2:9", f"{file}:3:32", "RECONCILER_REGION"]
    assert sorted(problem.place for problem in error.problems) == sorted(places)
    assert str(error) == "5 problems in the configuration; nothing was sent."


def test_a_file_that_is_no_yaml_has_its_problems(tmp_path: Path) -> None:
    """What the parser refuses comes with file, line and column; there is one document."""
    (problem,) = refused(tmp_path, "region: emea\nregion: nam\n").problems
    assert (problem.line, problem.column, problem.code) == (2, 1, "duplicate-key")
    assert "more than one document" in str(refused(tmp_path, "region: emea\n---\nregion: nam"))


def test_unknown_variables_are_warned_about(tmp_path: Path) -> None:
    """A variable that nothing reads is likely misspelt; ours, and other programs', are not."""
    known = dict.fromkeys(["CLIENT_ID", "CLIENT_SECRET_FILE", "ACCESS_TOKEN", "JOB_URL", "ENV"], "x")
    assert configured(tmp_path, "environments: {x: }", known).warnings == ()
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
    assert (prod.base_url, prod.keys.account, prod.state) == (EMEA, "prod-uk", tmp_path / "reconciler.prod.state.json")
    assert (test.base_url, test.keys.account, test.state) == (NAM, None, tmp_path / "states" / "test.json")
    assert configured(tmp_path, TWO, {"ENV": "test"}, environment="prod").environment == "prod"


def test_an_environment_that_is_not_there(tmp_path: Path) -> None:
    """A wrong name is refused with the right ones; where there are no environments, it just names the state."""
    error = refused(tmp_path, TWO, environment="pord")
    assert "environment 'pord' is not in" in str(error)
    assert error.hint == "Did you mean prod? It has: prod, test. To set up another one"
    assert error.command == ("init",)
    plain = tmp_path / "plain"
    plain.mkdir()
    assert configured(plain, environment="qa").state == plain / "reconciler.qa.state.json"


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
    proxy = "https://proxy.example"
    for key in ("base_url", "token_url"):
        for text in (f"{key}: {proxy}", f"environments: {{prod: {{{key}: '{proxy}'}}}}"):
            (problem,) = refused(tmp_path, text).problems
            assert f"{key}: in a file, only hosts under" in problem.message
        assert getattr(configured(tmp_path, "", {key.upper(): proxy}), key) == proxy


def test_region_and_base_url_side_by_side_are_refused(tmp_path: Path) -> None:
    """Which one is meant can't be told, unless they say the same."""
    error, file = refused(tmp_path, f"region: emea\nbase_url: {LOCAL}"), tmp_path / "reconciler.yaml"
    assert str(error) == f"{file}:1:9 says emea, but {file}:2:11 says {LOCAL}"
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
