"""Example states: one that holds whatever a state can hold, and a strategy that draws any."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from reconciler.interaction import content_digest, packed
from reconciler.state.codec import LAST_SERIAL
from reconciler.state.model import Applied, Failed, Kind, Open, Pending, Run, State, Target
from tests.known import AT, LINEAGE, failed, interaction, opened, pending

CLID: Final = {"type": "clid", "value": "+447700900123"}
URL: Final = {"type": "url", "label": "Café “☎”", "value": "https://crm.example/?a=1&b=2"}
SKILLS: Final = {"interactiontype": "nonlive", "skills": [{"name": "skillOptional", "expiryafter": 0}]}
DAY: Final = interaction("ObjectId_001", "CrmIntegration", "CrmCallRouting", linkeddata=[CLID, URL], routingdata=SKILLS)
NIGHT: Final = interaction("ObjectId_001", "CrmIntegration", "CrmNight", linkeddata=[CLID])
SMS: Final = interaction("once:welcome sms", None, "SendSMS", linkeddata=[{**CLID, "type": "name"}])
EVERYTHING: Final = State(
    LINEAGE,
    serial=12,
    target=Target("https://emea.api.newvoicemedia.com", "prod-uk"),
    interactions={
        "ObjectId_001": opened(DAY, requestid="6f1c2b5e-0000-5000-8000-000000000001", prevent_release=True),
        "once:welcome sms": opened(SMS, requestid="6f1c2b5e-0000-5000-8000-000000000002", settled=True),
    },
    pending={
        "6f1c2b5e-0000-5000-8000-000000000003": pending(DAY, Kind.RELEASE),
        "6f1c2b5e-0000-5000-8000-000000000004": pending(NIGHT, order=1, prevent_release=True, unsent=True),
        "6f1c2b5e-0000-5000-8000-000000000005": pending(interaction("B"), Kind.BURN),
        "6f1c2b5e-0000-5000-8000-000000000006": pending(interaction("B"), Kind.TOLERANT, 1),
        "6f1c2b5e-0000-5000-8000-000000000007": pending(interaction("once:x"), held="no such route"),
    },
    failed={
        "6f1c2b5e-0000-5000-8000-000000000008": failed(
            interaction("C"), attempts=3, earlier=("6f1c2b5e-0000-5000-8000-000000000009",), prevent_release=True
        ),
        "6f1c2b5e-0000-5000-8000-00000000000a": failed(interaction("D"), "release", resent=True),
    },
    applied=Applied("0123456789abcdef0123456789abcdef01234567", dirty=True, at=AT, by="https://ci.example/runs/7"),
    reader="1 0.2.5",
    seals={"interactions/crm.yaml": "00112233445566778899aabbccddeeff", "interactions/Größe.yaml": "0" * 32},
    history=(
        Run(9, AT, "ada@laptop", "apply", 4, {"dispatch": 2, "failed": 1}),
        Run(
            12, AT, "https://ci.example/runs/7", "apply", 0, {}, "0123456789abcdef0123456789abcdef01234567", dirty=True
        ),
    ),
)

names = st.text(max_size=12)
providers = st.none() | names
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(names, part, max_size=3),
    max_leaves=6,
)
digests = st.builds(content_digest, providers, st.binary(max_size=4))
fields = st.builds(packed, st.dictionaries(names, values, max_size=3))
times = st.just(AT)
opens = st.builds(Open, providers, digests, names, names, names, fields, st.booleans(), st.booleans())
links = st.builds(
    Pending,
    address=names.filter(lambda text: not text.startswith("once:")),
    order=st.integers(0, 99),
    kind=st.sampled_from(Kind),
    provider=providers,
    digest=digests,
    at=times,
    source=names,
    fields=fields,
    prevent_release=st.booleans(),
    unsent=st.booleans(),
    held=names,
)
failures = st.builds(
    Failed,
    address=names,
    action=st.sampled_from(["dispatch", "release"]),
    provider=providers,
    digest=digests,
    attempts=st.integers(1, 99),
    first=names,
    last=names,
    reason=names,
    earlier=st.lists(names, max_size=3).map(tuple),
    source=names,
    prevent_release=st.booleans(),
    resent=st.booleans(),
)
states = st.builds(
    State,
    lineage=st.uuids().map(str),
    serial=st.integers(0, LAST_SERIAL - 1),
    target=st.none() | st.builds(Target, names, st.none() | names),
    interactions=st.dictionaries(names, opens, max_size=3),
    pending=st.dictionaries(names, links, max_size=3),
    failed=st.dictionaries(names, failures, max_size=3),
    applied=st.none() | st.builds(Applied, names, st.booleans(), names, names),
    reader=names,
    seals=st.dictionaries(names, names, max_size=2),
    history=st.lists(
        st.builds(
            Run,
            serial=st.integers(0, LAST_SERIAL),
            at=names,
            by=names,
            command=names,
            exit=st.integers(0, 255),
            counts=st.dictionaries(names, st.integers(0, 99), max_size=1),
            commit=st.none() | names,
            dirty=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
)
