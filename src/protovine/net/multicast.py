"""One datagram to all members on a network segment: Zenoh over UDP multicast.

A multicast group has no TLS: all that is near can read its datagrams, and send some. So only messages that are sealed
and signed for all members (`protovine.net.security.group`) travel here, in a Zenoh session of their own that joins
nothing else. What arrives under another key is not subscribed to.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protovine.errors import ConfigError
from protovine.net.zenoh_library import first_line, zenoh_module

# How often members say that they are in the group. Who joins is heard after this time at the latest.
_JOIN_MS = 1000
# Longer messages go over the links. Anyone near can begin a message and not end it: each of up to 1,000 senders, which
# is Zenoh's limit, then holds this much memory.
DATAGRAMS_BYTES_MAX = 2**16


@dataclass(frozen=True, slots=True)
class Multicast:
    """A multicast group.

    Parameters
    ----------
    endpoint : str
        ``udp/ADDRESS:PORT``.
    interface : str or None
        Name of the network interface, such as ``eth0``; Zenoh chooses one by itself, if None.

    Raises
    ------
    ConfigError
        It is no address of a multicast group, or no name of an interface.

    Examples
    --------
    >>> Multicast("udp/239.1.2.3:7448", "eth0").endpoint_on_interface
    'udp/239.1.2.3:7448#iface=eth0'
    >>> Multicast("udp/192.168.1.5:7448")
    Traceback (most recent call last):
    protovine.errors.ConfigError: a multicast group is udp/ADDRESS:PORT, with an address from 224.0.0.0 to ...
    """

    endpoint: str
    interface: str | None = None

    def __post_init__(self) -> None:
        protocol, _, rest = self.endpoint.partition("/")
        host, _, port = rest.rpartition(":")
        try:
            address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
            good = protocol == "udp" and address.is_multicast and (address.version == 4) == ("[" not in host)
            good &= port.isascii() and port.isdecimal() and 0 < int(port) < 65_536
        except ValueError:
            good = False
        if not good:
            raise ConfigError(
                "a multicast group is udp/ADDRESS:PORT, with an address from 224.0.0.0 to 239.255.255.255 or "
                f"from [ff00::] on, and a port from 1 to 65535, got '{self.endpoint}'"
            )
        name = self.interface
        if name is not None and not (0 < len(name) < 16 and all(c.isalnum() or c in "._-@" for c in name)):
            raise ConfigError(f"an interface has a name of up to 15 letters, digits and . _ - @, got '{name}'")

    def check_interface(self) -> None:
        """`ConfigError` if this machine has no such interface."""
        names = [name for _, name in socket.if_nameindex()]
        if self.interface is not None and self.interface not in names:
            raise ConfigError(f"network.interface must be one of {', '.join(names)}, got '{self.interface}'")

    @property
    def endpoint_on_interface(self) -> str:
        """The endpoint as Zenoh takes it."""
        return self.endpoint if self.interface is None else f"{self.endpoint}#iface={self.interface}"

    def config(self) -> dict[str, Any]:
        """The configuration of the group's Zenoh session, which has no other links."""
        return {
            "mode": "peer",
            "listen": {"endpoints": [self.endpoint_on_interface], "exit_on_failure": True},
            "connect": {"endpoints": []},
            "scouting": {"multicast": {"enabled": False}, "gossip": {"enabled": False}},
            "transport": {
                "link": {"protocols": ["udp"], "rx": {"max_message_size": DATAGRAMS_BYTES_MAX + 1024}},
                "multicast": {"join_interval": _JOIN_MS},
            },
            "adminspace": {"enabled": False},
        }


class MulticastLink:
    """What one member sends to a multicast group and gets from it. Any thread may call it.

    Parameters
    ----------
    group : Multicast
    swarm : str
        Messages of other swarms in the same group do not arrive.
    """

    def __init__(self, group: Multicast, swarm: str) -> None:
        self._group, self._key = group, f"protovine/{swarm}/all/broadcast"
        self._deliver: Callable[[bytes], None] = lambda data: None
        self._lock = threading.Lock()
        self._opened = 0  # Changes with every open and close; odd while it is open.
        self._session: Any = None
        self._declared: Any = None  # Zenoh withdraws a subscriber that is not referenced.

    def open(self, deliver: Callable[[bytes], None]) -> None:
        """Join the group; ``deliver`` is called in other threads, with what others send.

        Raises
        ------
        ConfigError
            There is no such interface, or it cannot be used.
        """
        with self._lock:
            self._deliver = deliver
            self._opened |= 1
            opened = self._opened
        self._join(opened)

    def rejoin(self) -> None:
        """Leave the group and join it again, while it is open; errors as of `open`."""
        with self._lock:
            opened, session = self._opened, self._session
            self._session = self._declared = None
        if session is not None:
            session.close()
        if opened % 2:
            self._join(opened)

    def _join(self, opened: int) -> None:
        zenoh, session, deliver = zenoh_module(), None, self._deliver
        try:
            session = zenoh.open(zenoh.Config.from_json5(json.dumps(self._group.config())))
            declared = session.declare_subscriber(
                self._key, lambda sample: deliver(sample.payload.to_bytes()), allowed_origin=zenoh.Locality.REMOTE
            )
        except zenoh.ZError as error:
            if session is not None:
                session.close()
            where = self._group.endpoint_on_interface
            raise ConfigError(f"cannot join the multicast group {where}: {first_line(error)}") from None
        with self._lock:
            wanted = self._opened == opened
            if wanted:
                self._session, self._declared = session, declared
        if not wanted:
            session.close()

    def send(self, data: bytes) -> None:
        """Send to the group, if it is joined; what cannot be sent is lost.

        A full queue makes this wait until a datagram has left. Zenoh could drop the message instead, but in a multicast
        group it then drops all later messages as well.
        """
        zenoh = zenoh_module()
        with self._lock, contextlib.suppress(zenoh.ZError):
            if self._session is not None:
                self._session.put(
                    self._key,
                    data,
                    congestion_control=zenoh.CongestionControl.BLOCK,
                    express=True,
                    allowed_destination=zenoh.Locality.REMOTE,
                )

    def close(self) -> None:
        """Leave the group."""
        with self._lock:
            self._opened += self._opened % 2
            session, self._session, self._declared = self._session, None, None
        if session is not None:
            session.close()
