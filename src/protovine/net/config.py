"""The file of `protovine node`: every key with its range and default, and the objects that they stand for."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from protovine import rng
from protovine.errors import ConfigError
from protovine.net.io import Schema
from protovine.net.io.files import file_from
from protovine.net.link_timing import PROFILES, LinkTiming
from protovine.net.multicast import Multicast
from protovine.net.operate import ControlTable
from protovine.net.ops.probe import is_own
from protovine.net.roster import RosterTiming
from protovine.net.samples import AwaitLimits
from protovine.net.security import Envelope, EnvelopeLike, Identity, MemberName, PlainEnvelope, Trust, load_member
from protovine.net.security.identity import read_certificate
from protovine.net.tables import AnySink, AnySource
from protovine.net.transport import Endpoints
from protovine.node import Node
from protovine.records import SECOND_NS
from protovine.system import (
    NodeContext,
    Section,
    SystemSettings,
    build_node,
    merged_tables,
    preset,
    read_tables,
    resolve,
)
from protovine.system.settings import LogSettings

# By network.profile: a dial may take longer than members wait for peers on a quick network.
_ROSTERS = {
    "lan": RosterTiming(),
    "cellular": RosterTiming(
        ask_s=3.0, ask_s_max=600.0, ask_missing_s=60.0, reopen_s=300.0, reopen_alone_s=120.0, reopen_alone_s_max=900.0
    ),
    "satellite": RosterTiming(
        ask_s=10.0,
        ask_s_max=1800.0,
        ask_missing_s=120.0,
        reopen_s=900.0,
        reopen_alone_s=300.0,
        reopen_alone_s_max=3600.0,
    ),
}
# Longest wait for a batch, if exchange.batch_s does not say.
_BATCHES_S = {"lan": 0.0, "cellular": 10.0, "satellite": 30.0}
# The value of ``node.state`` that switches saving off.
NO_STATE = "none"


class NodeTable(Section):
    """What it runs, and where it keeps its state."""

    preset: str = Field("default", description="system to run; all members should run the same")
    seed: int = Field(0, ge=0, description="drives the peer choice and other random streams")
    train_rate_hz: float = Field(190.0, ge=1e-3, le=1e9, description="received prototypes trained per second")
    state: str | None = Field(
        None, description="folder for snapshots, by default of the member's name (Saved state); `none`: keep nothing"
    )
    snapshot_s: float = Field(30.0, ge=1, le=86_400, description="seconds between snapshots")
    awaited_max: int = Field(10_000, ge=1, le=100_000, description="samples that may wait for a label that comes later")
    awaited_mb_max: float = Field(16.0, gt=0, le=10_000, description="memory that they may take")
    awaited_s_max: float = Field(86_400.0, gt=0, le=1e9, description="seconds that a sample waits for its label")
    awaited_saved_kb_max: float = Field(64.0, ge=0, le=1e6, description="the newest of them are saved, up to this size")
    tape: str | None = Field(None, description="file that records every call of the node, for replay")
    tapes_max: int = Field(100, ge=1, le=100_000, description="starts whose tapes are kept; the oldest are deleted")
    stay: bool = Field(False, description="go on as a member when the source has ended")
    metrics: str | None = Field(None, description="HOST:PORT for Prometheus metrics and health; none by default")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level of log messages")
    log_format: Literal["auto", "text", "json"] = Field("auto", description="auto: text for a terminal, else JSON")


class NetworkTable(Section):
    """Where it listens, whom it dials, and who it is."""

    listen: tuple[str, ...] = Field((), description="endpoints, such as tls/0.0.0.0:7447")
    connect: tuple[str, ...] = Field((), description="endpoints of other members; those that are down are tried again")
    mode: Literal["peer", "router", "client"] = Field(
        "peer", description="router relays between clients, which only dial ([network](../explanation/network.md))"
    )
    profile: Literal["lan", "cellular", "satellite"] = Field(
        "lan",
        description="kind of network, for all periods ([network](../explanation/network.md)); the next four change one",
    )
    dial_s: float | None = Field(None, ge=0.1, le=600, description="an attempt to open a link is given up after this")
    lease_s: float | None = Field(None, ge=1, le=3600, description="a link that is silent for this long is closed")
    keep_alive_s: float | None = Field(None, ge=0.1, le=1800, description="an idle link is used this often")
    retry_s_max: float | None = Field(None, ge=0.1, le=3600, description="longest pause before dialling again")
    multicast: str | None = Field(
        None,
        description="group for messages to all (schedule broadcast), such as udp/239.1.2.3:7448; else over each link",
    )
    interface: str | None = Field(None, description="network interface of the multicast group, such as eth0")
    certificates: str | None = Field(None, description="the member's folder from `protovine cert issue`")
    plain: bool = Field(False, description="plain TCP without certificates: swarm, name and id are then needed")
    swarm: str | None = Field(None, description="plain: name of the swarm")
    name: str | None = Field(None, description="plain: name of this member")
    id: int | None = Field(None, ge=0, description="plain: its number, which no other member may have")


class SchemaTable(Section):
    """Names of features and classes in order, if they do not stand in a file."""

    features: tuple[str, ...] = Field(min_length=1, description="names of the features")
    classes: tuple[bool | int | float | str, ...] = Field(min_length=1, description="the classes")


class NodeSettings(SystemSettings):
    """Everything of one node.

    Raises
    ------
    ConfigError
        From `read`: an unknown key, a value out of range, or tables that do not fit together.
    """

    node: NodeTable = NodeTable()
    network: NetworkTable = NetworkTable()
    control: ControlTable = ControlTable()
    schema_: str | SchemaTable | None = Field(None, alias="schema", description="file, or a table")
    source: Annotated[AnySource | None, Field(discriminator="kind")] = None
    sink: Annotated[AnySink | None, Field(discriminator="kind")] = None

    @classmethod
    def read(cls, path: Path | None, above: dict[str, Any]) -> NodeSettings:
        """The settings of a file, with ``above`` (tables) laid over it, and both over the preset.

        Paths in the file are counted from its folder, those in ``above`` from the current one.

        A source or sink of another kind has other keys, so it takes the place of the file's.
        """
        below = _with_paths(read_tables(path, "node file"), path.parent) if path else {}
        above = _with_paths(above, Path())
        for key in ("source", "sink"):
            named = [table.get("kind") for table in (below.get(key), above.get(key)) if isinstance(table, dict)]
            if len(named) == 2 and named[1] not in (None, named[0]):
                del below[key]
        tables = merged_tables(below, above)
        wanted = tables.get("node", {})
        name = wanted.get("preset", "default") if isinstance(wanted, dict) else "default"
        chosen = preset(name if isinstance(name, str) else "default")
        if chosen.centralised:
            raise ConfigError(f"node.preset '{name}' is one node with the samples of all: it has no peers")
        made = resolve(chosen, tables, cls)
        made._check()
        batch_s = _BATCHES_S[made.network.profile]
        if batch_s and isinstance(made.exchange, LogSettings) and not made.exchange.batch_s:
            exchange = made.exchange.model_copy(update={"batch_s": batch_s})
            made = made.model_copy(update={"exchange": exchange})
        return made

    def _check(self) -> None:
        if self.learner.kind == "river":
            raise ConfigError("learner.kind river is for simulations only: River's classifiers have no safe bytes")
        if self.exchange.kind == "server":
            raise ConfigError("exchange.kind server is for simulations only: a real swarm has no server")
        network = self.network
        identity = (network.swarm, network.name, network.id)
        if network.plain:
            if network.certificates is not None:
                raise ConfigError("network.plain and network.certificates exclude each other")
            for key, value in zip(("swarm", "name", "id"), identity, strict=True):
                if value is None:
                    raise ConfigError(f"network.{key} is required with network.plain")
        else:
            if network.certificates is None:
                raise ConfigError(
                    "network.certificates is required: the folder that `protovine cert issue` made "
                    "(or network.plain for an open network)"
                )
            for key, value in zip(("swarm", "name", "id"), identity, strict=True):
                if value is not None:
                    raise ConfigError(f"network.{key} stands in the certificate; it is for network.plain only")
        if network.multicast is None and network.interface is not None:
            raise ConfigError(f"network.interface '{network.interface}' is for network.multicast, which is not set")
        schedule = self.gossip.schedule
        if network.multicast is not None and schedule != "broadcast":
            raise ConfigError(f"network.multicast is for gossip.schedule broadcast; '{schedule}' sends to one peer")
        if not network.listen and not network.connect:
            raise ConfigError("network.listen or network.connect must name an endpoint")
        if self.schema_ is None:
            raise ConfigError("schema is required: a file that `protovine data info --json` wrote, or a table")

    def schema_of(self) -> Schema:
        """The schema, from its file or table."""
        if isinstance(self.schema_, SchemaTable):
            return Schema(self.schema_.features, self.schema_.classes)
        assert self.schema_ is not None
        return Schema.read(self.schema_)

    def endpoints(self) -> Endpoints:
        """Where to listen and whom to dial."""
        network = self.network
        home = Path(network.certificates) if network.certificates is not None else None
        # A list that all members share names this one, too: dialling itself would fail again and again.
        connect = [endpoint for endpoint in network.connect if not is_own(endpoint, network.listen)]
        group = None if network.multicast is None else Multicast(network.multicast, network.interface)
        return Endpoints(network.listen, connect, network.mode, home, self._timing(), group)

    def _timing(self) -> LinkTiming:
        given = {name: getattr(self.network, name) for name in ("dial_s", "lease_s", "keep_alive_s", "retry_s_max")}
        return replace(
            PROFILES[self.network.profile], **{name: value for name, value in given.items() if value is not None}
        )

    def roster_timing(self) -> RosterTiming:
        """How often peers are asked and looked for."""
        return _ROSTERS[self.network.profile]

    def member(self) -> MemberName:
        """Who this is, by its certificate or, on an open network, as it says."""
        network = self.network
        if network.certificates is not None:
            return self._certified()[0].member
        assert network.swarm is not None and network.name is not None and network.id is not None
        return MemberName(network.swarm, network.name, network.id)

    def _certified(self) -> tuple[Identity, Trust]:
        """Certificate and trust. A clock before the certificate's beginning is not set; the node starts until it is."""
        assert self.network.certificates is not None
        folder = Path(self.network.certificates)
        begin = read_certificate(folder / "member.pem").not_valid_before_utc
        return load_member(folder, max(datetime.now(UTC), begin))

    def least_ns(self) -> int:
        """A time before which this start cannot be: the beginning of the member's certificate."""
        if self.network.certificates is None:
            return 0
        return int(self._certified()[0].certificate.not_valid_before_utc.timestamp()) * SECOND_NS

    def state_folder(self, member: MemberName) -> Path | None:
        """Where the state is kept: as named, or by default in a folder of the member's name."""
        if self.node.state == NO_STATE:
            return None
        if self.node.state is not None:
            return Path(self.node.state)
        found = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd sets it.
        if not found:
            found = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
            found = os.path.join(found, "protovine")
        return Path(found) / member.swarm / member.name

    def about(self, schema: Schema, member: MemberName) -> dict[str, Any]:
        """What a snapshot says of its node: member, schema, and the settings that its state depends on."""
        return {
            "member": {"swarm": member.swarm, "name": member.name, "id": member.id},
            "schema": {
                "features": list(schema.features),
                "classes": [repr(each) for each in schema.classes],
                "times": dict(schema.times),
                "ordinal": {name: list(texts) for name, texts in schema.ordinal.items()},
            },
            "settings": {
                "learner": self.learner.model_dump(mode="json"),
                "exchange": self.exchange.model_dump(mode="json"),
            },
        }

    def awaiting(self) -> AwaitLimits:
        """How many samples may wait for their labels."""
        node = self.node
        return AwaitLimits(
            node.awaited_max,
            round(node.awaited_mb_max * 2**20),
            node.awaited_s_max,
            round(node.awaited_saved_kb_max * 2**10),
        )

    def envelope(self, incarnation: int, schema: Schema) -> EnvelopeLike:
        """Keys, or none on an open network."""
        if self.network.certificates is None:
            return PlainEnvelope(self.member(), incarnation=incarnation, schema=schema.fingerprint())
        identity, trust = self._certified()
        return Envelope(identity, trust, incarnation=incarnation, schema=schema.fingerprint())

    def build(self, schema: Schema, member: int, incarnation: int, peers: list[int]) -> Node:
        """The node."""
        return build_node(
            self,
            NodeContext(
                node=member,
                peers=peers,
                dim=schema.dim,
                n_classes=len(schema.classes),
                draw=lambda purpose: rng.stream(self.node.seed, purpose, member, incarnation),
                incarnation=incarnation,
                train_period_ns=max(1, round(SECOND_NS / self.node.train_rate_hz)),
                broadcasts=True,
            ),
        )


_FILES = ("path", "ca_file", "certificate_file", "key_file")
_PATHS = {
    "node": ("state", "tape"),
    "network": ("certificates",),
    "control": ("token_file",),
    "source": _FILES,
    "sink": _FILES,
}


def _with_paths(tables: dict[str, Any], home: Path) -> dict[str, Any]:
    """The tables with paths of files counted from ``home``. What is no text is refused later."""

    def at(key: str, value: Any) -> Any:
        return value if value == NO_STATE and key == "node.state" else file_from(home, key, value)

    found = dict(tables)
    for name, keys in _PATHS.items():
        if isinstance(table := tables.get(name), dict):
            found[name] = {key: at(f"{name}.{key}", value) if key in keys else value for key, value in table.items()}
    return {key: at(key, value) if key == "schema" else value for key, value in found.items()}
