"""Who a member is, and who sent a message.

- `identity.py`: a member's name, certificate and trust, loaded from its folder
- `authority.py`: issues and revokes certificates (`protovine cert`)
- `requests.py`: what a member brings to it: key, names, request
- `tokens.py`: tokens that give a certificate over the network
- `describe.py`: what a certificate contains
- `revocations.py`: how the newest revocation list spreads; `tombstones.py`: what it says is to be forgotten;
  `burial.py`: who puts it there
- `orders.py`: tombstones that operators sign, and how they spread
- `hello.py`: the signed introduction of a member to its peers
- `envelope.py`: keys for every pair of members, sealed messages
- `group.py`: a key of each member for its messages to all; `sealing.py`: what both have in common
- `plain.py`: the same calls without certificates
- `commands.py`: commands of operators to running nodes, and the proof of who gave them
"""

from protovine.net.security.authority import Issued, create_authority, issue, revoke
from protovine.net.security.base import EnvelopeLike
from protovine.net.security.burial import bury
from protovine.net.security.describe import describe
from protovine.net.security.envelope import Envelope
from protovine.net.security.group import GroupLike
from protovine.net.security.hello import Member
from protovine.net.security.identity import (
    Identity,
    MemberName,
    OperatorName,
    Tombstone,
    Trust,
    load_identity,
    load_member,
    load_trust,
)
from protovine.net.security.plain import PlainEnvelope

__all__ = [
    "Envelope",
    "EnvelopeLike",
    "GroupLike",
    "Identity",
    "Issued",
    "Member",
    "MemberName",
    "OperatorName",
    "PlainEnvelope",
    "Tombstone",
    "Trust",
    "bury",
    "create_authority",
    "describe",
    "issue",
    "load_identity",
    "load_member",
    "load_trust",
    "revoke",
]
