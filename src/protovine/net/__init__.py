"""A swarm on a real network: members as processes that find each other and know who sent what.

- `service.py`: `protovine node`, from settings to a running member; `config.py`, `tables.py`: its settings
- `doctor.py`: what a node needs, checked by dialling
- `member.py`: `start_member`, for nodes and local swarms: state, incarnation, tape, network, signals
- `runtime.py`: the asyncio loop around a node
- `roster.py`: which members are there, without I/O; `states.py`: its table of states
- `trusting.py`: whom a member trusts, and what follows when that changes
- `forget.py`: a member is forgotten in a saved state, exactly where there are tapes; `contribution.py`: what remains
- `tapes.py`: a tape for each start; `replay.py`: whether they lead from start to start and to the saved state
- `burying.py`: an operator gives a tombstone to a running swarm
- `inbound.py`: the queue and the checks of what arrives, without I/O; `refusals.py`: what is refused, counted and said
- `claim.py`: who has a name that two processes use; `clock.py`: time that survives jumps; `pacing.py`: limits over time
- `samples.py`: local samples and late labels; `causes.py`: why input was refused
- `tally.py`: counts; `status.py`: the status of a member
- `control.py`: what a running node does for operators; `operate.py`: the token, and commands from outside
- `broadcasting.py`: messages to all members, and who has the key for them
- `transport.py`: messages over Zenoh, `multicast.py`: one datagram for all; `reopening.py`: a session is opened again
- `zenoh_library.py`: the library, imported when it is needed; `link_timing.py`: periods of links
- `asking.py`: the status of running members, asked from outside
- `feeding.py`: from a source into a runtime; `store.py`: state on disk; `snapshots.py`: when it is saved
- `security/`: certificates and sealed messages; `io/`: sources and sinks; `ops/`: metrics, health, logs
"""

from protovine.net.causes import Place
from protovine.net.io import (
    BaseSource,
    CsvReplay,
    Event,
    JsonLines,
    JsonLinesSink,
    Messages,
    Mqtt,
    MqttSink,
    Output,
    Reading,
    Schema,
    Sink,
    Source,
    ZenohKeys,
    ZenohSink,
)
from protovine.net.security import (
    Envelope,
    EnvelopeLike,
    GroupLike,
    Identity,
    Issued,
    Member,
    MemberName,
    OperatorName,
    PlainEnvelope,
    Tombstone,
    Trust,
    bury,
    create_authority,
    describe,
    issue,
    load_identity,
    load_member,
    load_trust,
    revoke,
)

__all__ = [
    "BaseSource",
    "CsvReplay",
    "Envelope",
    "EnvelopeLike",
    "Event",
    "GroupLike",
    "Identity",
    "Issued",
    "JsonLines",
    "JsonLinesSink",
    "Member",
    "MemberName",
    "Messages",
    "Mqtt",
    "MqttSink",
    "OperatorName",
    "Output",
    "Place",
    "PlainEnvelope",
    "Reading",
    "Schema",
    "Sink",
    "Source",
    "Tombstone",
    "Trust",
    "ZenohKeys",
    "ZenohSink",
    "bury",
    "create_authority",
    "describe",
    "issue",
    "load_identity",
    "load_member",
    "load_trust",
    "revoke",
]
