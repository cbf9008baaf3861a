"""A place in a cloud: how it is named, what its answers mean, and that no secret gets into what is said of them."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from unittest import mock
from uuid import uuid4

import obstore.exceptions
import pytest

from reconciler.errors import ConfigError, StateError
from reconciler.state.stores.bucketerrors import meaning
from reconciler.state.stores.buckets import bucket_objects, place
from reconciler.state.stores.interface import Objects, Refused, Unclear
from reconciler.state.stores.trial import try_out
from tests.conftest import ROOT
from tests.servers import BUCKET, READER, SECRET, Server, alone, aws, server
from tests.state.stores.cloud import Asked, Cloud, Lie
from tests.state.stores.places import PATIENCE, in_cloud

URL: Final = f"s3://{BUCKET}/crm/state.json"
SOON: Final = timedelta(seconds=0.05)
"""Where nothing is to come of waiting."""


def opened(url: str, environ: Mapping[str, str]) -> Objects:
    """Open a place."""
    return in_cloud(url, environ)()


@contextmanager
def answering(lie: Lie, patience: timedelta = PATIENCE) -> Iterator[Objects]:
    """Give a place that answers so whatever it is asked."""
    with Cloud(lambda _asked: lie) as cloud:
        yield in_cloud(URL, cloud.s3, patience)()


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/key",
        "s3://My.bucket-1_x/a/b c/ü.json?region=eu-west-1&server_side_encryption=aws:kms&sse_kms_key_id=arn:x:1:k/2",
        "gs://bucket/key",
        "az://container/key?account_name=abc1",
    ],
)
def test_a_place_is_named_without_its_options(url: str) -> None:
    """What is shown of a place is where it is."""
    assert str(place(url, {})) == url.partition("?")[0]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "s3://BUCKET/KEY has letters"),
        ("s3://user:SECRET@bucket/key", "s3://BUCKET/KEY has letters"),
        ("az://", "az://CONTAINER/KEY has letters, digits, '.', '_' and '-' for a container"),
        ("s3://bucket", "s3://BUCKET/KEY needs a key"),
        ("s3://bucket/", "s3://BUCKET/KEY needs a key"),
        ("gs://bucket/SECRET//b", "gs://BUCKET/KEY needs a key"),
        ("gs://bucket/a/../SECRET", "gs://BUCKET/KEY needs a key"),
        ("gs://bucket/a\nSECRET", "gs://BUCKET/KEY needs a key"),
        ("gs://bucket/a?region=x", "a URL of Google Cloud Storage has no option region"),
        ("s3://bucket/a?secret_access_key=SECRET", "a URL of S3 has no option secret_access_key"),
        ("s3://bucket/a?endpoint=https://evil.example", "a URL of S3 has no option endpoint"),
        ("s3://bucket/a?region=evil.example/SECRET", "the option region has characters"),
        ("az://bucket/a?account_name=evil.example%2FSECRET", "the option account_name has characters"),
    ],
)
def test_a_place_that_is_misnamed_is_refused(url: str, said: str) -> None:
    """Why is said, and how it should be; not the URL, which may hold what must not be shown."""
    with pytest.raises(ConfigError, match=r"^state: ") as error:
        place(url, {})
    assert said in str(error.value)
    assert "SECRET" not in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("s3://bucket/key", "AWS_ENDPOINT_URL"),
        ("s3://bucket/key", "AWS_ENDPOINT_URL_S3"),
        ("gs://bucket/key", "GOOGLE_BASE_URL"),
        ("az://bucket/key", "AZURE_STORAGE_ENDPOINT"),
    ],
)
def test_plain_http_goes_to_this_machine_only(url: str, variable: str) -> None:
    """Another host is reached by https only, whatever the environment says."""
    assert place(url, {variable: "http://127.0.0.1:8333"}).plain_http
    assert not place(url, {variable: "https://s3.example"}).plain_http
    with pytest.raises(ConfigError, match=f"^{variable}: plain http"):
        place(url, {variable: "HTTP://user:SECRET@s3.example"})


def test_the_extra_that_is_missing_is_named() -> None:
    """Without obstore, what to install is said."""
    with mock.patch.dict(sys.modules, {"obstore": None}):
        sys.modules.pop("reconciler.state.stores.objects", None)
        with pytest.raises(ConfigError, match="needs an extra") as error:
            opened(URL, {})
    assert error.value.hint == "Install it: pip install 'vcc-reconciler[objects]'"


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        ("az://bucket/key", {}),
        ("az://bucket/key?account_name=abc", {"AZURE_STORAGE_ACCOUNT_KEY": "&&SECRET"}),
        ("gs://bucket/key", {"GOOGLE_SERVICE_ACCOUNT_KEY": "SECRET"}),
        ("s3://bucket/key?server_side_encryption=rot13", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "SECRET"}),
    ],
)
def test_what_is_set_up_wrongly_is_said_at_once(url: str, environ: Mapping[str, str]) -> None:
    """Before anything is asked of a cloud."""
    with pytest.raises(ConfigError, match=f"^{url.partition('?')[0]}: ") as error:
        opened(url, environ)
    assert "SECRET" not in str(error.value)


# -- what an error means ---------------------------------------------------------------------------------------------

FOREIGN: Final = [
    *(each for each in vars(obstore.exceptions).values() if isinstance(each, type) and issubclass(each, Exception)),
    FileNotFoundError,
    PermissionError,
    NotImplementedError,
    ValueError,
]


@pytest.mark.parametrize("kind", FOREIGN)
def test_every_error_of_obstore_has_a_meaning(kind: type[Exception]) -> None:
    """A write that is refused or unclear says so; all else is an error for people, and nothing foreign gets through."""
    meanings = {writes: meaning(kind("SECRET"), place(URL, {}), ".lock", writes=writes) for writes in (True, False)}
    if kind.__name__ in {"AlreadyExistsError", "PreconditionError", "NotModifiedError"}:
        assert [type(meanings[writes]) for writes in (True, False)] == [Refused, Unclear]
    elif kind.__name__ in {"GenericError", "JoinError"}:
        assert {type(each) for each in meanings.values()} == {Unclear}
    else:
        assert {type(each) for each in meanings.values()} == {StateError}
    assert all("S3" in str(each) and "SECRET" not in str(each) for each in meanings.values())


ANSWERS: Final = {
    0: Unclear,
    301: StateError,
    400: StateError,
    401: StateError,
    403: StateError,
    429: Unclear,
    503: Unclear,
}


ACTS: Final[dict[str, Callable[[Objects], object]]] = {
    "get": lambda objects: objects.get(""),
    "create": lambda objects: objects.put("", b"1", None),
    "update": lambda objects: objects.put("", b"1", {"e_tag": '"1"'}),
    "names": lambda objects: objects.names(""),
    "remove": lambda objects: objects.remove([""]),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("status", ANSWERS)
def test_what_an_answer_means(act: Callable[[Objects], object], status: int) -> None:
    """What may pass is unclear, after a while; what needs a person says where, which answer, and what to do."""
    meant = ANSWERS[status]
    with (
        answering(Lie(status, lands=False), SOON if meant is Unclear else PATIENCE) as objects,
        pytest.raises(meant) as error,
    ):
        act(objects)
    said = str(error.value)
    assert said.startswith(URL if meant is StateError else "127.0.0.1:")
    assert "127.0.0.1" in said
    assert SECRET not in said
    assert not isinstance(error.value, StateError) or "docs/state.md" in error.value.hint or status == 301


@pytest.mark.parametrize("status", [409, 412])
def test_a_refusal_is_told_from_an_error(status: int) -> None:
    """A write whose condition did not hold is refused; of a read such an answer tells nothing."""
    with answering(Lie(status, lands=False), SOON) as objects, pytest.raises(Unclear):
        objects.get("")
    with answering(Lie(status, lands=False)) as objects, pytest.raises(Refused):
        objects.put("", b"1", None)


def test_a_bucket_that_is_missing_is_no_missing_state() -> None:
    """Whether the state or its bucket isn't there is told apart, in reading and in writing."""
    with answering(Lie(404, code="NoSuchBucket")) as objects:
        for act in ACTS.values():
            if act is not ACTS["remove"]:
                with pytest.raises(StateError, match='has no bucket "states"'):
                    act(objects)
    with answering(Lie()) as objects:
        assert objects.get("") is None


def test_a_server_that_hangs_is_not_waited_for() -> None:
    """No answer is unclear after a while; what was asked may have been done."""
    with answering(Lie(wait=30), SOON) as objects:
        with pytest.raises(Unclear, match="gives no answer in time"):
            objects.put("", b"1", None)
        with pytest.raises(Unclear, match="gives no answer in time"):
            objects.get("")


def test_a_server_that_is_slow_at_first_is_waited_for() -> None:
    """What passes within that time is not told."""

    def busy(asked: Asked) -> Lie | None:
        return Lie(503, lands=False) if asked.again < 2 else None

    with Cloud(busy) as cloud:
        objects = in_cloud(URL, cloud.s3)()
        version = objects.put("", b"1", None)
        found = objects.get("")
        assert found
        assert (found.body, found.version) == (b"1", version)


def test_a_large_state_is_one_object() -> None:
    """It is written by one call, whole or not at all, and slower than a small one may be."""
    with Cloud(lambda asked: Lie(wait=0.5) if asked.method == "PUT" else None) as cloud:
        objects = in_cloud(URL, cloud.s3, SOON)()
        with mock.patch.dict(os.environ, cloud.s3):
            objects.put("", bytes(6_000_000), None)
        assert [(asked.method, asked.key) for asked in cloud.asked] == [("PUT", "crm/state.json")]


def test_encryption_is_asked_for() -> None:
    """The options of a URL, and those of the environment, go along with each write."""
    with Cloud() as cloud:
        environ = {**cloud.s3, "AWS_SSE_KMS_KEY_ID": "key/2"}
        opened(f"{URL}?server_side_encryption=aws:kms", environ).put("", b"1", None)
        [asked] = cloud.asked
    assert asked.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert asked.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key/2"


# -- who we are ------------------------------------------------------------------------------------------------------


def test_who_may_only_read_is_told_so() -> None:
    """Reading works; what is lacking for the rest is said, with whose credentials they may be."""
    running = server("seaweedfs")
    objects = in_cloud(running.url(f"{uuid4()}/state.json"), {**running.environ, **READER})()
    assert (objects.get(""), objects.names("")) == (None, [])
    for act in (ACTS["create"], ACTS["remove"]):
        with pytest.raises(StateError, match="AccessDenied") as error:
            act(objects)
        assert "aws sts get-caller-identity" in error.value.hint
    with pytest.raises(StateError, match=r"\.trial\..*: 127\.0\.0\.1:\d+ answers 403 AccessDenied"):
        try_out(objects)


def test_an_aws_profile_is_used(tmp_path: Path) -> None:
    """Where the environment names no keys, boto3 finds them, as AWS's own tools do."""
    running = server("seaweedfs")
    keys = tmp_path / "credentials"
    keys.write_text(f"[crm]\naws_access_key_id = tester\naws_secret_access_key = {SECRET}\n", encoding="utf-8")
    environ = {"AWS_ENDPOINT_URL": running.environ["AWS_ENDPOINT_URL"], "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    url = running.url(f"{uuid4()}/state.json")
    try_out(in_cloud(url, {**environ, "AWS_PROFILE": "crm"})())
    with pytest.raises(StateError, match=r"no credentials for S3, or none of use \(ProfileNotFound\)"):
        in_cloud(url, {**environ, "AWS_PROFILE": "other"})()


def test_a_web_identity_is_used(tmp_path: Path) -> None:
    """A pipeline's token is exchanged for credentials."""
    running = server("moto")
    token = tmp_path / "token"
    token.write_text("a.token.of-the-pipeline", encoding="utf-8")
    environ = {
        "AWS_ENDPOINT_URL": running.environ["AWS_ENDPOINT_URL"],
        "AWS_REGION": "us-east-1",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reconciler",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
    }
    with mock.patch.dict(os.environ, environ):
        try_out(bucket_objects(running.url(f"{uuid4()}/state.json"), os.environ))


@pytest.mark.soak
def test_the_policy_of_the_docs_suffices(tmp_path: Path) -> None:
    """Who may do what docs/state.md says can keep a state where it says, and nowhere else."""
    policy, *_ = re.findall(
        r"```json\n(\{\n  \"Version\".*?)```", (ROOT / "docs" / "state.md").read_text("utf-8"), re.DOTALL
    )
    with alone("moto", tmp_path) as running:
        aws(running, "s3").create_bucket(Bucket="crm-states")
        people = aws(running, "iam")
        people.create_user(UserName="pipeline")
        people.put_user_policy(UserName="pipeline", PolicyName="state", PolicyDocument=policy)
        key = people.create_access_key(UserName="pipeline")["AccessKey"]
        _from_now_on_with_permissions(running)
        keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        # moto looks for a permission on the bucket where many are removed at once; AWS asks for one on each object.
        environ = {**running.environ, **keys, "AWS_DISABLE_BULK_DELETE": "true"}
        objects = in_cloud("s3://crm-states/prod/reconciler.state.json", environ)()
        try_out(objects)
        for name in ("", ".lock", ".backup", ".journal/1", ".aside.1"):
            objects.put(name, b"1", None)
        with pytest.raises(StateError, match="403 AccessDenied"):
            try_out(in_cloud("s3://crm-states/test/reconciler.state.json", environ)())


def _from_now_on_with_permissions(running: Server) -> None:
    url = f"{running.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    headers = {"Content-Type": "text/plain"}
    asked = urllib.request.Request(url, data=b"0", method="POST", headers=headers)  # noqa: S310  # on loopback
    with urllib.request.urlopen(asked):  # noqa: S310
        pass
