"""Nodes as processes on a real network: who belongs to a swarm, and who sent what.

- `create_authority`, `issue`, `revoke`, `describe`: certificates as files (`protovine cert`)
- `load_member`: a node's `Identity` and `Trust` from its folder
- `Envelope`: signed hellos and sealed messages, without I/O; `PlainEnvelope`: the same without certificates
- `Schema`: the features and classes that members agree on
- `JsonLines`, `CsvReplay`, `Mqtt`, `ZenohKeys`: where samples come from, as `Event`s of a `Source`
- `JsonLinesSink`, `MqttSink`, `ZenohSink`: where predictions go, as `Output`s to a `Sink`
"""

from protovine.net.io.schema import Schema
from protovine.net.io.sinks import JsonLinesSink, MqttSink, Output, Sink, ZenohSink
from protovine.net.io.sources import CsvReplay, Event, JsonLines, Mqtt, Source, ZenohKeys
from protovine.net.security.envelope import Envelope, EnvelopeLike, Member, PlainEnvelope
from protovine.net.security.identity import (
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

__all__ = [
    "CsvReplay",
    "Envelope",
    "EnvelopeLike",
    "Event",
    "Identity",
    "JsonLines",
    "JsonLinesSink",
    "Member",
    "MemberName",
    "Mqtt",
    "MqttSink",
    "Output",
    "PlainEnvelope",
    "Schema",
    "Sink",
    "Source",
    "Trust",
    "ZenohKeys",
    "ZenohSink",
    "create_authority",
    "describe",
    "issue",
    "load_identity",
    "load_member",
    "load_trust",
    "revoke",
]
