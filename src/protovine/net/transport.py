"""Messages between members over Zenoh: best effort, in any order, from any process that got in.

A transport neither proves who sent a message (`Envelope` does) nor that it arrives (gossip repeats it). Zenoh calls
the functions that the runtime gives to `open` from threads of its own.

A member listens at ``protovine/SWARM/ID/…``: ``message`` for sealed messages, ``hello`` for hellos, ``ask`` for hellos
that want one back; these also go to ``protovine/SWARM/all/ask``. Messages to all members go to
``protovine/SWARM/all/broadcast``, over the links or over UDP multicast (`multicast.py`). ``revocations``, of one member
or of all, is for lists of revoked certificates. A liveliness token at ``…/alive`` tells others within milliseconds when
a link to it opens or closes. It is only a hint.
"""

from __future__ import annotations

import enum
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from protovine.errors import ConfigError, suggest
from protovine.net.link_timing import PROFILES, LinkTiming
from protovine.net.multicast import DATAGRAMS_BYTES_MAX, Multicast, MulticastLink
from protovine.net.security.proof import NONCE_BYTES
from protovine.net.zenoh_library import WIRE_BYTES_MAX, first_line, zenoh_module

MODES = ("peer", "router", "client")
# A client that finds no router tries for this much longer than one attempt.
_CLIENT_MS = 2000
# Everything that Zenoh can be told to keep from passing a link.
_ZENOH_MESSAGES = (
    "put",
    "delete",
    "declare_subscriber",
    "query",
    "declare_queryable",
    "reply",
    "liveliness_token",
    "liveliness_query",
    "declare_liveliness_subscriber",
)
# Files of a member's folder: the authority's certificate, its own, and its key.
_FILES = ("authority.pem", "member.pem", "member.key")


class Channel(enum.Enum):
    """What arrived: a sealed message, one to all, a hello, one that asks for a hello, or a word about revocations."""

    MESSAGE = "message"
    BROADCAST = "broadcast"
    HELLO = "hello"
    ASK = "ask"
    REVOCATIONS = "revocations"


# The id of a member, at most 999,999.
_MEMBER = re.compile(r"0|[1-9][0-9]{0,5}")
# An IPv6 address stands in brackets.
_ENDPOINT = re.compile(r"[^/\[\]]+/(?:\[(?P<bracketed>[^/\[\]]+)\]|(?P<host>[^/\[\]]+)):(?P<port>[0-9]+)")


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Host and port of an endpoint; `ConfigError` if it has no such form.

    Examples
    --------
    >>> host_and_port("tls/192.168.1.5:7447"), host_and_port("tcp/[::1]:80")
    (('192.168.1.5', 7447), ('::1', 80))
    >>> host_and_port("gate-1:7447")
    Traceback (most recent call last):
    protovine.errors.ConfigError: an endpoint is PROTOCOL/HOST:PORT, such as tls/192.168.1.5:7447, got 'gate-1:7447'
    """
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None:
        raise ConfigError(f"an endpoint is PROTOCOL/HOST:PORT, such as tls/192.168.1.5:7447, got '{endpoint}'")
    port = found["port"]
    if len(port) > 5 or int(port) > 65_535:
        raise ConfigError(f"the port of an endpoint is from 1 to 65535, got '{endpoint}'")
    return found["bracketed"] or found["host"], int(port)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a member listens, what it dials, and with which certificates.

    Parameters
    ----------
    listen, connect : list of str
        Zenoh endpoints, such as ``tls/192.168.1.5:7447``.
    mode : {"peer", "router", "client"}
        Peers make a mesh. A router relays between clients, other routers and what is behind them, but not between peers
        that dial it: it assumes that they reach each other. A client only dials.
    certificates : path or None
        A member's folder (`protovine.net.issue`) for mutual TLS; without it endpoints must be ``tcp``.
    timing : LinkTiming
    multicast : Multicast or None
        The group for messages to all members; without one, they go over each link.
    """

    listen: Sequence[str]
    connect: Sequence[str]
    mode: str = "peer"
    certificates: str | Path | None = None
    timing: LinkTiming = PROFILES["lan"]
    multicast: Multicast | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"unknown mode '{self.mode}'{suggest(self.mode, MODES)}")
        if self.mode == "client" and self.listen:
            raise ConfigError(f"a client only dials, it cannot listen at '{self.listen[0]}'")
        secure = self.certificates is not None
        for endpoint in (*self.listen, *self.connect):
            wanted, protocol = "tls" if secure else "tcp", endpoint.partition("/")[0]
            if host_and_port(endpoint)[1] == 0 and endpoint in self.connect:
                raise ConfigError(f"an endpoint has a host and a port from 1 to 65535, got '{endpoint}'")
            if protocol != wanted:
                why = "there are certificates" if secure else "there are no certificates"
                raise ConfigError(f"endpoint '{endpoint}' must begin with {wanted}/, as {why}")

    def files(self) -> list[Path]:
        """The authority's certificate, the member's, and its key; none without certificates."""
        return [] if self.certificates is None else [Path(self.certificates) / name for name in _FILES]

    def config(self, denied: Iterable[str] = ()) -> dict[str, Any]:
        """The configuration of a Zenoh session; ``denied`` are the common names of certificates that were revoked."""
        client, timing = self.mode == "client", self.timing
        dial_ms = round(1000 * timing.dial_s)
        # Who is dialled waits as long, but has no key for it among the others.
        handshake = "" if self.certificates is None else f"#tls_handshake_timeout_ms={max(10_000, dial_ms)}"
        link: dict[str, Any] = {
            # No other protocol is used, whatever endpoints members tell each other of.
            "protocols": ["tcp" if self.certificates is None else "tls"],
            "tx": {
                "lease": round(1000 * timing.lease_s),
                "keep_alive": max(2, round(timing.lease_s / timing.keep_alive_s)),
            },
            "rx": {"max_message_size": WIRE_BYTES_MAX},
        }
        if self.certificates is not None:
            authority, certificate, key = map(str, self.files())
            link["tls"] = {
                "root_ca_certificate": authority,
                "listen_certificate": certificate,
                "listen_private_key": key,
                "connect_certificate": certificate,
                "connect_private_key": key,
                "enable_mtls": True,
                "verify_name_on_connect": True,
                "close_link_on_expiration": True,
            }
        found = {
            "mode": self.mode,
            "listen": {"endpoints": [f"{endpoint}{handshake}" for endpoint in self.listen], "exit_on_failure": True},
            "connect": {
                "endpoints": list(self.connect),
                # The others may start later, so this tries for ever; 0 would be once.
                "timeout_ms": dial_ms + _CLIENT_MS if client else -1,
                "exit_on_failure": client,  # Without a router there is no session.
                "retry": {
                    "period_init_ms": round(1000 * timing.retry_s),
                    "period_max_ms": round(1000 * timing.retry_s_max),
                    "period_increase_factor": 1.5,
                },
            },
            "scouting": {"multicast": {"enabled": False}, "gossip": {"enabled": not client}},
            # While a network is cut, an attempt to dial waits longer and longer for an answer: a new one is faster.
            "transport": {"link": link, "unicast": {"open_timeout": dial_ms, "accept_timeout": max(10_000, dial_ms)}},
            "adminspace": {"enabled": False},
        }
        names = sorted(denied)
        if names and self.certificates is not None:
            # TLS knows no revocation list. So a link to a revoked member may open, but it carries nothing, either way.
            found["access_control"] = {
                "enabled": True,
                "default_permission": "allow",
                "rules": [
                    {
                        "id": "nothing",
                        "permission": "deny",
                        "flows": ["ingress", "egress"],
                        "key_exprs": ["**"],
                        "messages": list(_ZENOH_MESSAGES),
                    }
                ],
                "subjects": [{"id": "revoked", "cert_common_names": names}],
                "policies": [{"rules": ["nothing"], "subjects": ["revoked"]}],
            }
        return found


# Declares subscribers and publishers at a session.
Attached = Callable[[Any], None]


class Transport(Protocol):
    """How a runtime reaches its peers; calls return at once, and none says whether anything arrived.

    `protovine.checks.check_transport` tests what every transport must do.
    """

    def open(
        self, deliver: Callable[[Channel, bytes], None], alive: Callable[[int, bool], None], status: Callable[[], bytes]
    ) -> None:
        """Begin: call ``deliver`` for what arrives, ``alive`` for links, ``status`` when a process asks for it."""
        ...

    def send(self, peer: int, data: bytes) -> None:
        """Send a sealed message to a peer."""
        ...

    def send_all(self, data: bytes) -> None:
        """Send a message that is sealed for all members, in one go where the network can do that."""
        ...

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        """Send a hello to a peer, or to all; ``ask`` wants one back."""
        ...

    def send_revocations(self, peer: int | None, data: bytes) -> None:
        """Send a word about revoked certificates to a peer, or to all."""
        ...

    def deny(self, names: frozenset[str]) -> None:
        """From the next opening on, let nothing pass to or from certificates with these common names."""
        ...

    def reopen(self) -> None:
        """Close and open again, because links are missing that should be there."""
        ...

    def rejoin(self) -> None:
        """Join the multicast group again, if there is one, because nobody is heard there."""
        ...

    def close(self) -> None:
        """End; nothing is delivered after this."""
        ...


class ZenohTransport:
    """A member's Zenoh session.

    Parameters
    ----------
    swarm : str
    member : int
        The own id.
    endpoints : Endpoints

    Raises
    ------
    ConfigError
        Zenoh is not installed, or a certificate file is not there.
    """

    def __init__(self, swarm: str, member: int, endpoints: Endpoints) -> None:
        zenoh_module()
        for path in endpoints.files():
            if not path.is_file():
                raise ConfigError(f"no such certificate file: {path}")
        self.swarm, self.member, self.endpoints = swarm, member, endpoints
        self._lock = threading.Lock()
        self._session: Any = None
        self._opened = 0  # Changes with every open and close.
        self._publishers: dict[str, Any] = {}
        self._declared: list[Any] = []  # Zenoh withdraws a token that is not referenced.
        self._handlers: tuple[Callable[..., Any], ...] = ()
        self._denied: frozenset[str] = frozenset()
        self._attached: list[Attached] = []
        # Signs a status for the nonce of a question; None where nothing is signed.
        self.prove: Callable[[bytes, bytes], bytes] | None = None
        self._multicast = MulticastLink(endpoints.multicast, swarm) if endpoints.multicast is not None else None

    def open(
        self, deliver: Callable[[Channel, bytes], None], alive: Callable[[int, bool], None], status: Callable[[], bytes]
    ) -> None:
        """Open the session; `ConfigError` if it cannot listen where it should, or not join the multicast group."""
        zenoh_module()
        self._handlers = (deliver, alive, status)
        self._open(None)

    def _open(self, after: int | None) -> None:
        """Open, unless another close or open has come ``after``."""
        with self._lock:
            if after not in (None, self._opened):
                return
            self._opened = opened = self._opened + 1
        try:
            if self._multicast is not None:
                self._multicast.open(lambda data: self._handlers[0](Channel.BROADCAST, data))
            if self.endpoints.mode == "client":
                threading.Thread(target=self._dial, args=(opened,), daemon=True).start()
            else:
                self._begin(open_session(self.endpoints, self._denied), opened)
        except ConfigError:
            self.close()
            raise
        if self._multicast is not None and self._opened != opened:
            self._multicast.close()  # The transport was closed meanwhile.

    def _dial(self, opened: int) -> None:
        """Try to reach a router until there is one, or the transport is closed."""
        while self._opened == opened:
            try:
                self._begin(open_session(self.endpoints, self._denied), opened)
                return
            except ConfigError:
                time.sleep(self.endpoints.timing.retry_s)

    def _begin(self, session: Any, opened: int) -> None:
        zenoh = zenoh_module()
        root = f"protovine/{self.swarm}"
        deliver, alive, status = self._handlers
        declared: list[Any] = []

        def subscribe(key: str, channel: Channel) -> None:
            declared.append(
                session.declare_subscriber(
                    key,
                    lambda sample: deliver(channel, sample.payload.to_bytes()),
                    allowed_origin=zenoh.Locality.REMOTE,  # A question to all does not come back to its sender.
                )
            )

        def changed(sample: Any) -> None:
            member = member_in(sample)
            if member is not None and member != self.member:
                alive(member, sample.kind == zenoh.SampleKind.PUT)

        subscribe(f"{root}/{self.member}/message", Channel.MESSAGE)
        subscribe(f"{root}/all/broadcast", Channel.BROADCAST)
        subscribe(f"{root}/{self.member}/hello", Channel.HELLO)
        subscribe(f"{root}/{self.member}/ask", Channel.ASK)
        subscribe(f"{root}/all/ask", Channel.ASK)
        subscribe(f"{root}/{self.member}/revocations", Channel.REVOCATIONS)
        subscribe(f"{root}/all/revocations", Channel.REVOCATIONS)
        liveliness, own = session.liveliness(), f"{root}/{self.member}/status"
        declared += [
            liveliness.declare_subscriber(f"{root}/*/alive", changed, history=True),
            liveliness.declare_token(f"{root}/{self.member}/alive"),
            session.declare_queryable(own, lambda query: self._answer(own, query, status())),
        ]
        with self._lock:
            wanted = self._opened == opened
            if wanted:
                self._session, self._declared = session, declared
                attached = list(self._attached)
        if not wanted:
            session.close()
            return
        for declare in attached:
            declare(session)

    def _answer(self, key: str, query: Any, status: bytes) -> None:
        nonce = b"" if query.payload is None else query.payload.to_bytes()
        proof = self.prove(status, nonce) if self.prove is not None and len(nonce) == NONCE_BYTES else None
        query.reply(key, status, attachment=proof)

    @property
    def session(self) -> Any:
        """The open session; None before and after."""
        return self._session

    def attach(self, declare: Attached) -> None:
        """Call ``declare`` with the open session, and with every session that replaces it; maybe in another thread."""
        with self._lock:
            self._attached.append(declare)
            session = self._session
        if session is not None:
            declare(session)

    def deny(self, names: frozenset[str]) -> None:
        """From the next opening on, let nothing pass to or from certificates with these common names."""
        self._denied = names

    def send(self, peer: int, data: bytes) -> None:
        """Send a sealed message to a peer."""
        zenoh = zenoh_module()
        key = f"protovine/{self.swarm}/{peer}/message"
        with self._lock:
            if self._session is None:
                return
            publisher = self._publishers.get(key)
            if publisher is None:
                # A stuck peer must not hold up the others: a message that does not fit is lost, and gossip repeats it.
                publisher = self._session.declare_publisher(
                    key,
                    congestion_control=zenoh.CongestionControl.DROP,
                    express=True,
                    allowed_destination=zenoh.Locality.REMOTE,
                )
                self._publishers[key] = publisher
            publisher.put(data)

    def send_all(self, data: bytes) -> None:
        """Send a message for all members: into the multicast group, if there is one and it fits, or over the links."""
        if self._multicast is not None and len(data) <= DATAGRAMS_BYTES_MAX:
            self._multicast.send(data)
        else:
            self._put(None, Channel.BROADCAST, data)

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        """Send a hello to a peer, or to all."""
        self._put(peer, Channel.ASK if ask else Channel.HELLO, data)

    def send_revocations(self, peer: int | None, data: bytes) -> None:
        """Send a word about revoked certificates to a peer, or to all."""
        self._put(peer, Channel.REVOCATIONS, data)

    def _put(self, peer: int | None, channel: Channel, data: bytes) -> None:
        zenoh = zenoh_module()
        key = f"protovine/{self.swarm}/{'all' if peer is None else peer}/{channel.value}"
        with self._lock:
            # No publisher is kept for these, because any process can make this node send one to an id it made up.
            if self._session is not None:
                self._session.put(key, data, congestion_control=zenoh.CongestionControl.DROP, express=True)

    def reopen(self) -> None:
        """Close the session and open another; a transport that is closed meanwhile stays so."""
        self._open(after=self._close())

    def rejoin(self) -> None:
        """Join the multicast group again, if there is one; a transport that is closed stays so."""
        if self._multicast is not None:
            self._multicast.rejoin()

    def close(self) -> None:
        """Close the session. A process that ends without it hangs."""
        self._close()

    def _close(self) -> int:
        with self._lock:
            self._opened = closed = self._opened + 1
            session, self._session = self._session, None
            self._publishers.clear()
            self._declared.clear()
        if self._multicast is not None:
            self._multicast.close()
        if session is not None:
            session.close()
        return closed


def member_in(sample: Any) -> int | None:
    """The member whose key it is; None if there can be no such member."""
    name = str(sample.key_expr).split("/")[-2]
    # Any process can make up keys: long numbers, and digits of other scripts.
    return int(name) if _MEMBER.fullmatch(name) else None


def open_session(endpoints: Endpoints, denied: Iterable[str] = ()) -> Any:
    """A Zenoh session; `ConfigError` if it cannot be opened. ``denied`` as for `Endpoints.config`."""
    zenoh = zenoh_module()
    try:
        return zenoh.open(zenoh.Config.from_json5(json.dumps(endpoints.config(denied))))
    except zenoh.ZError as error:
        where = ", ".join((*endpoints.listen, *endpoints.connect))
        raise ConfigError(f"cannot open the network at {where}: {first_line(error)}") from None
