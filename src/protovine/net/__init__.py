"""Nodes as processes on a real network: who belongs to a swarm, and who sent what.

- `create_authority`, `issue`, `revoke`, `describe`: certificates as files (`protovine cert`)
- `load_member`: a node's `Identity` and `Trust` from its folder
- `Envelope`: signed hellos and sealed messages, without I/O; `PlainEnvelope`: the same without certificates
- `Schema`: the features and classes that members agree on
"""

from protovine.net.certificates import (
    Identity,
    MemberName,
    Trust,
    create_authority,
    describe,
    issue,
    load_identity,
    load_member,
    load_trust,
    revoke,
)
from protovine.net.envelope import Envelope, EnvelopeLike, Member, PlainEnvelope
from protovine.net.schema import Schema

__all__ = [
    "Envelope",
    "EnvelopeLike",
    "Identity",
    "Member",
    "MemberName",
    "PlainEnvelope",
    "Schema",
    "Trust",
    "create_authority",
    "describe",
    "issue",
    "load_identity",
    "load_member",
    "load_trust",
    "revoke",
]
