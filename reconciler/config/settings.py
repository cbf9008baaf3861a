"""What can be configured: each key once, with its type, its limits, its default and what it means.

Pure. The checks of reconciler.yaml and of the variables, the hints, the table in docs/configuration.md and the schema
for editors are all made from `Configuration`: a key is added here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from reconciler.config.urls import Region, UrlRefused, check_url
from reconciler.declarations.rules import DeclarationRules
from reconciler.planning.guards import GuardLimits
from reconciler.planning.planner import PlanPolicy
from reconciler.planning.policy import PolicyRule
from reconciler.yamlfile.scalars import resolve

TEXT: Final = "text"
"""The validation context of values from variables and flags, which are all text; others are as the file has them."""
ENVIRONMENT: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
DURATION: Final = r"^[0-9]{1,6}[smhd]$"
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _number(value: Any, info: ValidationInfo) -> Any:
    """Read a variable as the file would read the same text."""
    return resolve(value) if info.context == TEXT else value


def _list(value: Any, info: ValidationInfo) -> Any:
    """Read a variable as a list, separated by commas."""
    return [part for text in value.split(",") if (part := text.strip())] if info.context == TEXT else value


def _allowed(url: str, info: ValidationInfo) -> str:
    try:
        check_url(url, from_file=info.context != TEXT)
    except UrlRefused as refused:
        raise PydanticCustomError("url", "{why}", {"why": str(refused), "hint": refused.hint}) from None
    return url.rstrip("/")


def _in_file(value: Any, info: ValidationInfo) -> Any:
    if info.context == TEXT:
        why, hint = "it can't be set here", "set it in reconciler.yaml, or in an environment there"
        raise PydanticCustomError("rule", "{why}", {"why": why, "hint": hint})
    return value


def _unique(rules: list[PolicyRule]) -> list[PolicyRule]:
    first: dict[str, int] = {}
    for number, rule in enumerate(rules):
        if first.setdefault(rule.id, number) != number:
            why, hint = f"'{rule.id}' stands twice", "an id stands for one rule: rename or remove one of the two"
            raise PydanticCustomError("rule", "{why}", {"why": why, "hint": hint, "at": (number, "id")})
    return rules


NonEmpty = Annotated[str, Field(pattern=r"[^ \t\r\n]")]
NonEmptyList = Annotated[list[NonEmpty], BeforeValidator(_list)]
Url = Annotated[NonEmpty, AfterValidator(_allowed)]
Percentage = Annotated[int, Field(ge=0, le=100), BeforeValidator(_number)]
Limit = Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_number)]
AUTO: Final = "auto"
Parallelism = int | Literal["auto"]


def _auto(value: Any, check: Callable[[Any], int]) -> Parallelism:
    """Take the one word that stands for a number."""
    return AUTO if value == AUTO else check(value)


_Calls = Annotated[int, Field(ge=1, le=64)]
# Not a plain union: its errors would name each part, and the place in it.
Calls = Annotated[
    Parallelism,
    GetPydanticSchema(lambda _, of: core_schema.no_info_wrap_validator_function(_auto, of(_Calls))),
    WithJsonSchema({"anyOf": [TypeAdapter(_Calls).json_schema(), {"const": AUTO}]}),
    BeforeValidator(_number),
]


class Configuration(BaseModel):
    """Every key that reconciler.yaml, an environment in it, or a variable can set."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    region: Region | None = Field(default=None, description="Where the account is. It sets both URLs.")
    base_url: Url | None = Field(
        default=None,
        description="The API's address, if not the region's: requests go to `{base_url}/interactions/invoke`.",
        examples=["https://emea.api.newvoicemedia.com"],
    )
    token_url: Url | None = Field(
        default=None,
        description="Where access tokens are fetched, if not at the region's address.",
        examples=["https://emea.cc.vonage.com/Auth/connect/token"],
    )
    account: NonEmpty | None = Field(
        default=None,
        description="A label that is recorded in the state; a state with another one is refused.",
        examples=["prod-uk"],
    )
    interactions: NonEmpty = Field(
        default="interactions",
        description="The declarations: a folder or a file, relative to reconciler.yaml.",
    )
    state: NonEmpty = Field(
        default="reconciler.state.json",
        description="The state: a file, relative to reconciler.yaml; with `--env NAME` the default is "
        "`reconciler.NAME.state.json`. Or a place that several runners share (docs/state.md): `git:BRANCH`, "
        "`git:REMOTE/BRANCH`, or an object in a bucket (`s3://BUCKET/KEY`, `gs://…`, `az://…`).",
    )
    sensitive: NonEmptyList = Field(
        default=["clid", "interactionproperty"],
        description="`linkeddata` values that enter no state, plan, log or output: by `type`, or by `type:key`.",
        examples=[["clid", "object:Phone"]],
    )
    linkeddata_types: NonEmptyList = Field(
        default=[], description="Types of `linkeddata` to allow besides the documented ones.", examples=[["fax"]]
    )
    max_release_percent: Percentage = Field(
        default=30,
        description="Guard: the share of the open interactions that one apply may release. 100 disables it.",
    )
    max_releases: Limit | None = Field(default=None, description="Guard: how many releases one apply may send.")
    max_dispatches: Limit | None = Field(default=None, description="Guard: how many dispatches one apply may send.")
    release_attempts: Annotated[int, Field(ge=0, le=1_000), BeforeValidator(_number)] = Field(
        default=3,
        description="After so many failures, in as many runs, a release is taken as gone already, since agents "
        "complete interactions themselves; a release of what only may be open, after as many tries in one run. 0: "
        "never, and what may be open waits for a person.",
    )
    on_unknown: Literal["resend", "hold"] = Field(
        default="resend",
        description="What is done about a request whose outcome is unknown: `hold` leaves each to a person.",
    )
    resend_within: Annotated[str, Field(pattern=DURATION)] = Field(
        default="24h",
        description="Older unknown outcomes are held: how long the API remembers requestids is not documented.",
        examples=["90s", "30m", "24h", "7d"],
    )
    parallelism: Calls = Field(
        default=AUTO,
        description="How many Invocations are on their way at once. `auto` starts with 4, goes up to 16 where the API "
        "answers well, and down where it throttles or slows down.",
    )
    timeout: Annotated[float, Field(gt=0, le=3600), BeforeValidator(_number)] = Field(
        default=30, description="Seconds for each call as a whole."
    )
    request_bytes: Annotated[int, Field(ge=1_000, le=10_000_000), BeforeValidator(_number)] = Field(
        default=100_000, description="The largest body, as encoded. The API's own limit is 100 KB."
    )

    policy: Annotated[list[PolicyRule], BeforeValidator(_in_file), AfterValidator(_unique)] = Field(
        default=[], description="Rules for what may be declared (docs/policy.md); in the file only."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        """Drop the keys that have no value: they aren't set."""
        if not isinstance(value, dict):
            return value
        return {key: part for key, part in value.items() if part is not None or key not in cls.model_fields}

    @property
    def plan_policy(self) -> PlanPolicy:
        """The planner's part."""
        unit = _UNITS[self.resend_within[-1]]
        within = timedelta(**{unit: int(self.resend_within[:-1])})
        return PlanPolicy(frozenset(self.sensitive), self.release_attempts, self.on_unknown == "hold", within)

    @property
    def width(self) -> int | None:
        """How many calls at a time; None if that is to be felt for."""
        return None if self.parallelism == AUTO else self.parallelism

    @property
    def limits(self) -> GuardLimits:
        """The guards' part."""
        return GuardLimits(self.max_release_percent, self.max_releases, self.max_dispatches)

    @property
    def rules(self) -> DeclarationRules:
        """The declarations' part."""
        return DeclarationRules(frozenset(self.sensitive), frozenset(self.linkeddata_types), self.request_bytes)


class ConfigurationFile(Configuration):
    """The whole of reconciler.yaml."""

    environments: dict[Annotated[str, Field(pattern=ENVIRONMENT)], Configuration | None] = Field(
        default={},
        description="Overrides of any key, by the name of an environment, which `--env NAME` or RECONCILER_ENV picks.",
        examples=[{"staging": {"region": "nam", "account": "staging"}}],
    )


KEYS: Final = tuple(Configuration.model_fields)


@cache
def _schema() -> dict[str, Any]:
    return ConfigurationFile.model_json_schema()


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema is besides null, and what it refers to."""
    node = node | next((part for part in node.get("anyOf", ()) if part.get("type") != "null"), {})
    return node | _schema()["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _at(*at: str | int) -> dict[str, Any]:
    """Return the schema of what stands at a place of the file."""
    node = _plain(_schema())
    for part in at:
        if isinstance(part, int):
            node = node["items"]
        else:
            node = (
                node["properties"].get(part) if "properties" in node else next(iter(node["patternProperties"].values()))
            )
        node = _plain(node)
    return node


def keys_at(*at: str | int) -> tuple[str, ...]:
    """Return the keys of the map at a place of the file."""
    return tuple(_at(*at)["properties"])


@cache
def takes(*at: str | int) -> str:
    """Return what a key takes, in the words of messages and docs, such as `a whole number from 1 to 64`."""
    schema = _at(*at)
    match schema:
        case {"enum": choices}:
            words = f"one of {', '.join(choices)}"
        case {"type": "integer", "minimum": low, "maximum": high}:
            words = f"a whole number from {low:,} to {high:,}"
        case {"type": "number", "exclusiveMinimum": low, "maximum": high}:
            words = f"a number above {low:,}, up to {high:,}"
        case {"type": "string", "examples": examples}:
            words = f"a text such as {', '.join(examples)}"
        case {"type": "array", "items": {"$ref": _}}:
            words = "a list of maps"
        case {"type": kind}:
            words = {"string": "a text that is not empty", "array": "a list of texts", "object": "a map of maps"}[kind]
    others = (part["const"] for part in schema.get("anyOf", ()) if "const" in part)
    return ", or ".join((words, *others))


def is_environment(name: str) -> bool:
    """Whether an environment can have this name, which becomes part of a file's name."""
    return re.fullmatch(ENVIRONMENT, name) is not None and name.isprintable()
