"""Files become values with positions, and a folder of files becomes declarations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.compat import StringIO

from reconciler.declarations.loader import load
from reconciler.errors import DeclarationError
from reconciler.interaction import OnChange, Place
from reconciler.yamlfile import reader
from reconciler.yamlfile.document import Parsed
from reconciler.yamlfile.reader import JUDGED_BYTES, parse, parse_pure
from tests.command import Workplace
from tests.known import RULES

EXAMPLES = Path(__file__).parents[2] / "interactions"
CONTRACT = """\
provider: CrmIntegration
defaults:
  route: CrmCallRouting
  routingdata: {interactiontype: nonlive}
interactions:
  - externalid: ObjectId_001
    linkeddata:
      - {type: clid, value: "+447700900123"}
      - {type: url, label: Click me, value: https://developer.newvoicemedia.com}
    routingdata:
      skills: [{name: skillOptional, expiryafter: 0}, {name: skillMandatory}]
    lifecycle: {prevent_release: true}
  - once: welcome-sms
    provider: null
    route: SendSMS
    linkeddata:
      - {type: interactionproperty, key: ToNum, value: "07700900123"}
"""
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff")
# ruamel.yaml writes `?x` and `:x` plain between brackets, which is refused (tested below).
TEXT = st.text(CHARACTERS | st.sampled_from("\n :#-'\"{}[]&*!|>%@`,?~<=0123456789"), max_size=20).filter(
    lambda text: not text.startswith(("?", ":"))
)
WORDS = st.sampled_from(["yes", "null", "0123", "1_000", "<<", "~", "true", "12e3", "0x1F", " x ", "", "---", "😀"])
SCALARS = TEXT | WORDS | st.integers(-(10**12), 10**12) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | WORDS, inner, max_size=4), max_leaves=12
)
PARSERS = pytest.mark.parametrize("read", [parse, parse_pure], ids=["libyaml", "pure"])


def values(parsed: Parsed) -> list[Any]:
    """Return the documents' values; there must be no problems."""
    assert parsed.problems == []
    return [document.value for document in parsed.documents]


def codes(parsed: Parsed) -> list[str]:
    """Return the problems' codes."""
    return [problem.code for problem in parsed.problems]


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file and the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_contracts_example_loads(tmp_path: Path) -> None:
    """Defaults are merged, a null provider overrides, places are those of the interactions, addresses are sorted."""
    write(tmp_path, "interactions/crm.yaml", CONTRACT)
    first, second = load(tmp_path / "interactions", RULES, base=tmp_path).interactions
    assert (first.address, first.provider, first.place) == (
        "ObjectId_001",
        "CrmIntegration",
        Place("interactions/crm.yaml", 6, 5),
    )
    assert (first.prevent_release, first.on_change) == (True, OnChange.REPLACE)
    assert first.request == {
        "action": "dispatch",
        "externalid": "ObjectId_001",
        "route": "CrmCallRouting",
        "linkeddata": [
            {"type": "clid", "value": "+447700900123"},
            {"type": "url", "label": "Click me", "value": "https://developer.newvoicemedia.com"},
        ],
        "routingdata": {
            "interactiontype": "nonlive",
            "skills": [{"name": "skillOptional", "expiryafter": 0}, {"name": "skillMandatory"}],
        },
    }
    assert (second.address, second.provider, second.on_change) == ("once:welcome-sms", None, OnChange.KEEP)
    assert str(second.place) == "interactions/crm.yaml:13"
    assert "externalid" not in second.request


def test_the_examples_load() -> None:
    """Every example is valid, without a warning, and none shares an identity with another."""
    declared = load(EXAMPLES, RULES, base=EXAMPLES.parent)
    assert declared.files == len(list(EXAMPLES.iterdir())) == 5
    assert len(declared.interactions) == 5
    assert declared.warnings == ()


@PARSERS
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", []),
        ("# nothing\n", []),
        ("---\n---\n", [None, None]),
        ("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: yes\nb: 1_000\nc: 2001-12-14\nd: 'true'\n", [{"a": "yes", "b": "1_000", "c": "2001-12-14", "d": "true"}]),
        ("a: &x {b: 1}\nc: *x\n", [{"a": {"b": 1}, "c": {"b": 1}}]),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", [{"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}]),
        ("d:\n  <<: [{a: 1}, {a: 2, b: 3}]\n", [{"d": {"a": 1, "b": 3}}]),
        ('a: {"<<": 1}\n', [{"a": {"<<": 1}}]),
        ("&k a: 1\nb: {*k : 2}\n", [{"a": 1, "b": {"a": 2}}]),
        (
            "[{type: url, value: https://vonage.com/a?b=c:d}]\n",
            [[{"type": "url", "value": "https://vonage.com/a?b=c:d"}]],
        ),
        ('{"a":\t["\\ud83d\\ude00", "\\/"]}', [{"a": ["😀", "/"]}]),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", [{"a": "x\ny\n", "b": "x y"}]),
        ("a:\r\n  b: 1\r\n", [{"a": {"b": 1}}]),
        ("[? b, what ?c, what?]\n", [[{"b": None}, "what ?c", "what?"]]),
        ("- ?a\n", [["?a"]]),
    ],
)
def test_documents_are_read_alike_by_both_parsers(read: Any, text: str, value: list[Any]) -> None:
    """Scalars, aliases, merge keys, escapes and line ends mean the same whichever parser gives the events."""
    assert values(read(text.encode(), "x.yaml")) == value


@settings(max_examples=300, deadline=None)
@given(value=VALUES, style=st.sampled_from([None, '"', "'", "|"]), flow=st.booleans())
def test_values_come_back_as_they_were_dumped(value: Any, style: str | None, flow: bool) -> None:  # noqa: FBT001 - a property's input
    """Whatever ruamel.yaml dumps, in any style, both paths read as the same values."""
    yaml = YAML()
    yaml.default_style = style if not _has_other(value) else None  # type: ignore[assignment] # untyped in ruamel.yaml
    yaml.default_flow_style = flow
    yaml.width = 4096  # narrower, it folds keys, which no parser can read
    stream = StringIO()
    yaml.dump([value], stream)  # at the top, ruamel.yaml writes `...` as the end of the document
    data = stream.getvalue().encode()
    fast, pure = parse(data, "x"), parse_pure(data, "x")
    assert values(fast) == values(pure) == [[value]]


def _has_other(value: Any) -> bool:
    """Whether the value holds anything that a forced style would tag."""
    if isinstance(value, dict):
        return any(_has_other(part) for part in value.values())
    return any(map(_has_other, value)) if isinstance(value, list) else not isinstance(value, str)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_json_is_yaml(value: Any) -> None:
    """What Python's json writes, escapes of surrogate pairs included, comes back as it was from a YAML file too."""
    assert values(parse(json.dumps(value).encode(), "x.yaml")) == [value]


@PARSERS
def test_positions_are_those_of_keys_and_values(read: Any) -> None:
    """Keys, values, items, and what an alias or merge key brought, are found where they are written."""
    text = "base: &b\n  route: R\nlist:\n  - <<: *b\n    id: é 012\n  - *b\n  - 0123\n"
    document = read(text.encode(), "x").documents[0]

    def at(*path: str | int, key: bool = False) -> tuple[int, int]:
        mark = document.mark(path, key=key)
        return mark.line + 1, mark.column + 1

    assert at() == (1, 1)
    assert (at("list", key=True), at("list", 0), at("list", 0, "id", key=True)) == ((3, 1), (4, 5), (5, 5))
    assert (at("list", 0, "id"), at("list", 0, "route"), at("list", 1)) == ((5, 9), (2, 10), (6, 5))
    assert at("list", 0, "nowhere") == at("list", 0)
    assert document.text(("list", 2)) == "0123"


@PARSERS
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [1\n", "yaml-syntax"),
        ("a: 'x\n", "yaml-syntax"),
        ("a: b: c\n", "yaml-syntax"),
        ("a: %x\n", "yaml-syntax"),
        ("{?a: 1}\n", "yaml-syntax"),
        ("[?a]\n", "yaml-syntax"),
        ("{:a: 1}\n", "key-type"),
        ("a:\n\tb: 1\n", "tab"),
        ("{a: 1, a: 2}\n", "duplicate-key"),
        ("{<<: {}, <<: {}}\n", "duplicate-key"),
        ("{a: !x 1}\n", "tag"),
        ("! a\n", "tag"),
        ("!!map {}\n", "tag"),
        ("&a [*a]\n", "recursive-alias"),
        ("&a {<<: *a}\n", "recursive-alias"),
        ("[*a]\n", "unknown-alias"),
        ("&a x\n---\n*a\n", "unknown-alias"),
        ("{1: x}\n", "key-type"),
        ("{[a]: x}\n", "key-type"),
        ("{<<: 1}\n", "merge-key"),
        ("[" * 65 + "]" * 65, "too-deep"),
        ("{a: " * 65 + "}" * 65, "too-deep"),
        ("- " * 65 + "x\n", "too-deep"),
        ("? " * 65 + "x\n", "too-deep"),
        ('"\\ud83d"\n', "surrogate"),
        ('"\\U00110000"\n', "yaml-syntax"),
        ("%YAML 1.1\n---\na\n", "yaml-version"),
    ],
)
def test_what_is_refused_is_refused_by_both_parsers(read: Any, text: str, code: str) -> None:
    """A problem has the same code and a position whichever parser gives the events."""
    parsed = read(text.encode(), "x.yaml")
    assert code in codes(parsed)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in parsed.problems)


def test_sixty_four_levels_are_not_too_deep() -> None:
    """The bound on nesting is where it is said to be."""
    assert values(parse(("[" * 64 + "]" * 64).encode(), "x"))


def test_aliases_may_repeat_much_but_not_everything() -> None:
    """Ten thousand aliases of a small map are fine; the billion laughs end at once, text bombs too."""
    many = "a: &a {b: 1, c: [1, 2]}\nd:\n" + "- *a\n" * 10_000
    assert len(values(parse(many.encode(), "x"))[0]["d"]) == 10_000
    texts = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]\n"
    assert codes(parse(texts.encode(), "x")) == ["alias-bomb"]


def test_a_large_broken_file_is_judged_by_libyaml_alone() -> None:
    """Past the size that the pure parser can read in time, the position and message are libyaml's own."""
    data = b"a: [x,\n" + b"  y,\n" * (JUDGED_BYTES // 5) + b"b: }\n"
    (problem,) = parse(data, "x").problems
    assert problem.code == "yaml-syntax"
    assert problem.line > JUDGED_BYTES // 5


def test_many_tag_directives_end_at_once() -> None:
    """Each %TAG line is compared with every other by libyaml, so many of them are refused before it sees them."""
    assert codes(parse(b"".join(b"%%TAG !a%d! x\n" % i for i in range(50_000)), "x")) == ["tag"]


def test_without_libyaml_everything_still_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml, or with an old one, the pure parser reads everything."""
    monkeypatch.setattr(reader, "libyaml", lambda: None)
    assert len(load(EXAMPLES, RULES, base=EXAMPLES).interactions) == 5


def test_lack_of_memory_is_no_problem_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pure parser raises of its own is a problem of the file; that memory is short is not."""

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(YAML, "parse", exhausted)
    with pytest.raises(MemoryError):
        parse(b"a: [", "x.yaml")


def test_files_are_found_in_order_and_others_left_alone(tmp_path: Path) -> None:
    """Suffixes in any case count, hidden files and folders and other files don't, linked folders do."""
    for name in ("b/x.YML", "a.json", "a/y.Yaml", ".hidden/x.yaml", ".x.yaml", "notes.txt", "x.yaml.bak"):
        write(tmp_path / "interactions", name, json.dumps({"interactions": [{"externalid": name, "route": "R"}]}))
    write(tmp_path, "elsewhere/z.yaml", "interactions: [{externalid: z, route: R}]\n")
    (tmp_path / "interactions" / "link").symlink_to(tmp_path / "elsewhere")
    declared = load(tmp_path / "interactions", RULES, base=tmp_path)
    assert [interaction.address for interaction in declared.interactions] == ["a.json", "a/y.Yaml", "b/x.YML", "z"]
    assert declared.interactions[3].place.file == "interactions/link/z.yaml"
    assert declared.files == 4


LOCALES = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C", "PYTHONUTF8": "1"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
]


@pytest.mark.parametrize("locale", LOCALES)
def test_a_name_is_the_same_whatever_the_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    """A file is read whatever its name is written in, and stands in the state under that name."""
    place = Workplace(tmp_path, {**locale, "RECONCILER_BASE_URL": "http://127.0.0.1:9"})
    write(tmp_path, "é/déjà/日本.yaml", "interactions: [{externalid: A, route: Ré}]\n")
    valid = "Valid: 1 interaction in 1 file.\n"
    assert place.process("validate", "--interactions", "é").out == valid
    assert place.process("validate", env={"RECONCILER_INTERACTIONS": "é"}).out == valid
    write(tmp_path, "reconciler.yaml", "interactions: é\nstate: état.json\n")
    assert place.process("init").code == 0
    assert (tmp_path / "état.json").exists()
    ran = place.process("apply", "--sandbox", "--auto-approve")
    assert ran.code == 0, ran.err
    state = json.loads((tmp_path / ".reconciler" / "sandbox.state.json").read_bytes())
    assert state["interactions"]["A"]["source"] == "é/déjà/日本.yaml"


@pytest.mark.parametrize("locale", LOCALES)
def test_a_name_that_is_no_utf_8_is_a_problem(tmp_path: Path, locale: dict[str, str]) -> None:
    """A name that no state, plan or comment could hold is refused, and shown with its bytes."""
    place = Workplace(tmp_path, locale)
    (tmp_path / "interactions").mkdir()
    for name in (b"\xff\xe9.yaml", b"\xe9/x.yml", b"\xc3\xa9\xff.json"):
        path = tmp_path / "interactions" / os.fsdecode(name)
        try:
            path.parent.mkdir(exist_ok=True)
            path.mkdir() if name.endswith(b".json") else path.touch()
        except OSError:
            pytest.skip("this file system has no such names")
    found = [(each["file"], each["code"]) for each in place.process("validate", "--format", "json").json["problems"]]
    assert found == [
        ("interactions/\\xe9/x.yml", "file-name"),
        ("interactions/\\xff\\xe9.yaml", "file-name"),
        ("interactions/é\\xff.json", "not-a-file"),
    ]


def test_a_single_file_may_be_the_root(tmp_path: Path) -> None:
    """A file is loaded by itself whatever its suffix, and named relative to the base, above it if need be."""
    path = write(tmp_path, "one.txt", "interactions: [{externalid: A, route: R}]\n")
    (tmp_path / "base").mkdir()
    (interaction,) = load(path, RULES, base=tmp_path / "base").interactions
    assert interaction.place.file == "../one.txt"


def test_empty_files_and_folders_are_fine(tmp_path: Path) -> None:
    """Nothing declared is no problem here: what it means for the plan is a guard's business."""
    assert load(tmp_path, RULES, base=tmp_path).files == 0
    write(tmp_path, "x.yaml", "")
    write(tmp_path, "y.yaml", "interactions:\n---\n---\ninteractions: []\n")
    assert load(tmp_path, RULES, base=tmp_path).interactions == ()


def test_all_problems_of_all_files_come_in_order(tmp_path: Path) -> None:
    """One run names every problem of every file, sorted by place, those after a parser's problem included."""
    write(tmp_path, "b.yaml", "interactions: [{externalid: A, route: 1, route: 2, once: 3}]\n")
    write(tmp_path, "a.yaml", "interactions: [\n")
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path, RULES, base=tmp_path)
    found = [(problem.file, problem.line, problem.column, problem.code) for problem in caught.value.problems]
    assert found == [
        ("a.yaml", 2, 1, "yaml-syntax"),
        ("b.yaml", 1, 39, "unquoted"),
        ("b.yaml", 1, 42, "duplicate-key"),
        ("b.yaml", 1, 58, "unquoted"),
    ]


def test_warnings_alone_refuse_nothing(tmp_path: Path) -> None:
    """A data source name with spaces is warned of, and the interaction is declared."""
    item = "{type: interactionproperty, key: To Num, value: x}"
    write(tmp_path, "x.yaml", f"interactions: [{{externalid: A, route: R, linkeddata: [{item}]}}]\n")
    declared = load(tmp_path, RULES, base=tmp_path)
    assert [(problem.code, problem.warning) for problem in declared.warnings] == [("key-with-spaces", True)]
    assert len(declared.interactions) == 1


def test_loading_imports_no_more_than_it_needs() -> None:
    """Valid files need neither httpx nor ruamel.yaml, which take long to import."""
    code = (
        "import sys, pathlib; from reconciler.declarations.loader import load;"
        "from reconciler.declarations.rules import DeclarationRules;"
        "rules = DeclarationRules(frozenset(), frozenset(), 10_000);"
        f"load(pathlib.Path({str(EXAMPLES)!r}), rules, base=pathlib.Path('/'));"
        "print([name for name in ('httpx', 'ruamel.yaml', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("value", "warned"),
    [
        ("ada@example.com", True),
        ("+44 7700 900123", True),
        ("(0)7700-900123", True),
        ("Case 4711", False),
        ("4711", False),
    ],
)
def test_a_name_that_is_a_persons_is_warned_of_once(tmp_path: Path, value: str, *, warned: bool) -> None:
    """However many there are, in whatever files; its value is not shown, and none is where names are sensitive."""
    for number in range(3):
        item = f"{{externalid: a{number}, route: R, linkeddata: [{{type: name, value: '{value}'}}]}}"
        (tmp_path / f"{number}.yaml").write_text(f"interactions: [{item}]\n", encoding="utf-8")
    found = load(tmp_path, RULES, base=tmp_path).warnings
    assert [(each.file, each.code) for each in found] == ([("0.yaml", "personal-name")] if warned else [])
    assert value not in str(found)
    assert load(tmp_path, replace(RULES, sensitive=frozenset({"name"})), base=tmp_path).warnings == ()
