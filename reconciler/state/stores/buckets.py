"""Where in a cloud a state is: `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`, with options behind a `?`.

Credentials and other hosts come from the environment, under the names that the clouds' own tools use: a merged line of
a configuration file must not be able to send the credentials elsewhere. Raises ConfigError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qsl

from reconciler import DISTRIBUTION
from reconciler.errors import ConfigError
from reconciler.loopback import is_loopback
from reconciler.state.stores.interface import Objects

_PATIENCE: Final = timedelta(seconds=10)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PART_OF_A_HOST: Final = re.compile(r"[a-z0-9-]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9:/._-]+")


@dataclass(frozen=True, slots=True)
class Cloud:
    """What is said of it, which options a URL may give, and which variables lead to another host."""

    name: str
    whoami: str
    options: Mapping[str, re.Pattern[str]]
    hosts: tuple[str, ...]


CLOUDS: Final[Mapping[str, Cloud]] = {
    "s3": Cloud(
        "S3",
        "aws sts get-caller-identity",
        {
            "region": _PART_OF_A_HOST,
            "server_side_encryption": _PLAIN,
            "sse_kms_key_id": _PLAIN,
            "sse_bucket_key_enabled": _PLAIN,
        },
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    ),
    "gs": Cloud("Google Cloud Storage", "gcloud auth list", {}, ("GOOGLE_BASE_URL",)),
    "az": Cloud(
        "Azure Blob Storage",
        "az account show",
        {"account_name": _PART_OF_A_HOST},
        ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    ),
}
"""By the scheme of their URLs."""


@dataclass(frozen=True, slots=True)
class Place:
    """A key in a bucket. `plain_http`: it is reached without TLS, on this machine."""

    scheme: str
    bucket: str
    key: str
    options: Mapping[str, str]
    plain_http: bool

    @property
    def cloud(self) -> Cloud:
        """Whose bucket it is."""
        return CLOUDS[self.scheme]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def place(url: str, environ: Mapping[str, str]) -> Place:
    """Read a URL; what is wrong with it is said without it, for it may hold what must not be shown."""
    scheme, _, rest = url.partition("://")
    path, _, query = rest.partition("?")
    bucket, _, key = path.partition("/")
    shape = f"{scheme}://{'CONTAINER' if scheme == 'az' else 'BUCKET'}/KEY"
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"state: {shape} has letters, digits, '.', '_' and '-' for a {shape[5:-4].lower()}, and nothing else",
            hint="Credentials come from the environment (docs/state.md).",
        )
    if not key.isprintable() or not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise ConfigError(f"state: {shape} needs a key of plain names with single slashes between them")
    return Place(scheme, bucket, key, _options(query, CLOUDS[scheme]), _plain_http(CLOUDS[scheme], environ))


def _options(query: str, cloud: Cloud) -> Mapping[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in cloud.options:
            known = f"It may have {', '.join(cloud.options)}." if cloud.options else "It may have none."
            raise ConfigError(
                f"state: a URL of {cloud.name} has no option {name}",
                hint=f"{known} All else, credentials too, comes from the environment (docs/state.md).",
            )
        if not cloud.options[name].fullmatch(value):
            raise ConfigError(f"state: the option {name} has characters that it can't have")
    return options


def _plain_http(cloud: Cloud, environ: Mapping[str, str]) -> bool:
    plain = [name for name in cloud.hosts if environ.get(name, "").lower().startswith("http:")]
    for name in plain:
        if not is_loopback(environ[name]):
            raise ConfigError(f"{name}: plain http goes to this machine only", hint="Use https.")
    return bool(plain)


def bucket_objects(url: str, environ: Mapping[str, str], patience: timedelta = _PATIENCE) -> Objects:
    """Return the objects at a URL; nothing is asked of the cloud yet, but who we are. Raises StateError, too."""
    found = place(url, environ)
    try:
        from reconciler.state.stores.objects import Bucket  # noqa: PLC0415  # an extra, which takes long to load
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise ConfigError(
            f"{found}: a state in {found.cloud.name} needs an extra that is not installed",
            hint=f"Install it: pip install '{DISTRIBUTION}[objects]'",
        ) from error
    return Bucket(found, environ, patience)
