"""`protovine doctor`: everything that a node's start needs, and everything that it dials."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError
from protovine.net.asking import ask_status
from protovine.net.config import NodeSettings
from protovine.net.io import Mqtt, MqttSink
from protovine.net.io.mqtt import Broker
from protovine.net.member import Plan
from protovine.net.ops.probe import ProbeError, dial, is_held, is_local, is_own
from protovine.net.security.describe import describe
from protovine.net.security.identity import common_name, load_client
from protovine.net.service import Prepared, prepare
from protovine.net.snapshots import restore_node
from protovine.net.store import check_state
from protovine.net.tasks import cancel
from protovine.net.transport import Endpoints, host_and_port
from protovine.values import listed

# Less free space for snapshots, or less time of the certificate, is worth a word.
_FREE_BYTES, _LEFT = 100 * 2**20, timedelta(days=21)
_ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Finding:
    """Something that was looked at: ``state`` is ok, warn or fail."""

    state: str
    text: str


def examine(settings: NodeSettings, timeout_s: float = 5.0) -> Iterator[Finding]:
    """Look at the settings, the certificate, the disk, the members to dial and the brokers, one after the other.

    Raises
    ------
    ConfigError, DataError
        The start would refuse the settings.
    """
    prepared = prepare(settings)
    network = settings.network
    home = None if network.certificates is None else Path(network.certificates)
    yield from examine_here(settings, prepared)
    for endpoint in network.connect:
        if is_own(endpoint, network.listen):
            yield Finding("ok", f"peer {endpoint}: this node itself, which is not dialled")
            continue
        try:
            yield Finding("ok", f"peer {dial(endpoint, home, timeout_s)}")
        except ProbeError as error:
            yield Finding("fail", f"peer {error}")
    yield from _schemas(settings, prepared, home, timeout_s)
    for part in (prepared.source, prepared.sink):
        if isinstance(part, Mqtt | MqttSink):
            yield asyncio.run(_broker(part.broker, "source" if part is prepared.source else "sink", timeout_s))


def _schemas(settings: NodeSettings, prepared: Prepared, home: Path | None, timeout_s: float) -> Iterator[Finding]:
    """Ask the members that can be reached for their schema."""
    dialled, own = settings.network.connect, prepared.schema.fingerprint().hex()
    denied: set[str] = set()
    try:
        if home is not None:
            denied = set(map(common_name, load_client(home, datetime.now(UTC))[1].revoked))
        answers = ask_status(prepared.plan.member.swarm, Endpoints((), dialled, "client", home), timeout_s, denied)
    except ConfigError:  # Dialling, or the line on the certificate, has said why.
        return
    for status in map(json.loads, answers.values()):
        schema = status.get("schema", own)
        if schema != own and status.get("id") != prepared.plan.member.id:
            text = f"has schema {schema}, this node {own}: they exchange nothing until both start with the same one"
            yield Finding("fail", f"peer {status['name']}: {text}")


def examine_here(settings: NodeSettings, prepared: Prepared) -> Iterator[Finding]:
    """Look at what `prepare` built of the settings, the certificate and the disk; nothing is dialled or written."""
    member, schema, state = prepared.plan.member, prepared.schema, prepared.plan.state
    words = f"{len(schema.features)} features and {len(schema.classes)} classes"
    yield Finding("ok", f"settings: {member.name}, number {member.id} of swarm {member.swarm}, with {words}")
    if prepared.source is not None and (left_out := prepared.source.unmapped):
        count = f"{len(left_out)} of {len(schema.features)} features"
        yield Finding("warn", f"source: {count} have no place in it and stay missing: {listed(left_out)}")
    if settings.network.certificates is not None:
        yield from _certificate(Path(settings.network.certificates), settings.network.listen)
    if state is not None:
        yield _disk(state)
        if not prepared.plan.fresh:
            yield from (Finding("warn", f"state: {note}") for note in _snapshots(state, prepared.plan))
        if is_held(state):
            text = "a process runs with it, so a second start would be refused; its ports were not looked at"
            yield Finding("warn", f"state: {state}: {text}")


def _snapshots(state: Path, plan: Plan) -> list[str]:
    """What is wrong with the snapshots; `ConfigError` if the start would refuse them."""

    def restore(saved: dict[str, Any]) -> None:
        restore_node(lambda peers: plan.build(1, peers), saved, max(time.time_ns(), int(saved.get("at_ns", 0))))

    return check_state(state, plan.about, restore)


def _certificate(home: Path, listen: tuple[str, ...]) -> Iterator[Finding]:
    now = datetime.now(UTC)
    found = describe(home / "member.pem", now)
    begin, end = (datetime.fromisoformat(found[key]) for key in ("not_before", "not_after"))
    addresses = found["addresses"]
    lasts = f"until {end:%Y-%m-%d}, for {' '.join(addresses)}"
    if now < begin:
        text = f"it is valid from {begin:%Y-%m-%d %H:%M} UTC on, and the clock here shows {now:%Y-%m-%d %H:%M}"
        yield Finding("warn", f"certificate: {lasts}: {text}; a node starts, and finds no peers before that time")
    elif end - now <= _LEFT:
        yield Finding("warn", f"certificate: {lasts}: {(end - now).days} days are left; issue the next one")
    else:
        yield Finding("ok", f"certificate: {lasts}")
    for endpoint in listen:
        host = host_and_port(endpoint)[0]
        if host not in _ANY and host not in addresses:
            yield Finding("warn", f"certificate: it does not have {host}, so nobody can dial {endpoint}")
        elif host in _ANY and (why := _unreachable(addresses, found["name"])):
            yield Finding("warn", f"certificate: {why}; issue it with --address")


def _unreachable(addresses: Sequence[str], name: str) -> str:
    """Why no address of a certificate leads to this machine from another one; empty if one may."""
    outward = []
    for each in addresses:
        try:
            number = ipaddress.ip_address(each)
        except ValueError:
            if each not in ("localhost", name):
                return ""  # Only other machines know what a host name means there.
        else:
            outward += [] if number.is_loopback else [each]
    if any(map(is_local, outward)):
        return ""
    what = f"{' '.join(outward)} is no address of this machine" if outward else "it has no address for other machines"
    return f"{what}, so they can dial it only if they know the host name {name}"


def _disk(state: Path) -> Finding:
    at = next(folder for folder in (state, *state.resolve().parents) if folder.exists())
    free = shutil.disk_usage(at).free
    return Finding("ok" if free > _FREE_BYTES else "warn", f"state: {free // 2**20:,} MB free for {state}")


async def _broker(broker: Broker, of: str, timeout_s: float) -> Finding:
    said: list[str] = []
    there = asyncio.Event()

    async def use(client: object) -> None:
        there.set()
        await asyncio.Event().wait()

    task = broker.connect(use, lambda message: None, lambda reason, text: said.append(text), lambda error: None)
    try:
        async with asyncio.timeout(timeout_s):
            while not there.is_set() and not said:
                await asyncio.sleep(0.02)
    except TimeoutError:
        said.append(f"{broker}: no answer within {timeout_s:g} s")
    finally:
        await cancel(task)
    return Finding("ok", f"{of} {broker}") if there.is_set() else Finding("fail", f"{of} {said[0]}")
