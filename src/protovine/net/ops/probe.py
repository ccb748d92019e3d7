"""Dialling an endpoint to find out why it does not work, without joining the swarm."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from protovine.errors import ConfigError
from protovine.net.security.identity import out_of_time, read_certificate
from protovine.net.transport import host_and_port

# A listener that does not accept the certificate says so after the handshake.
_VERDICT_S = 0.5


class ProbeError(Exception):
    """Why an endpoint cannot be used, in words."""


def dial(endpoint: str, certificates: Path | None, timeout_s: float = 5.0) -> str:
    """Who listens at an endpoint; with ``certificates``, a folder as of `protovine cert issue`, by its certificate.

    Raises
    ------
    ProbeError
        Nothing listens there, or one side does not accept the other's certificate.
    """
    host, port = host_and_port(endpoint)
    try:
        connection = socket.create_connection((host, port), timeout_s)
    except socket.gaierror as error:
        raise ProbeError(f"{endpoint}: host {host!r} is not known ({error.strerror})") from None
    except ConnectionRefusedError:
        raise ProbeError(f"{endpoint}: nothing listens there") from None
    except TimeoutError:
        raise ProbeError(f"{endpoint}: no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise ProbeError(f"{endpoint}: {error.strerror or error}") from None
    with connection:
        if certificates is None:
            return f"{endpoint}: something listens there"
        try:
            return _handshake(endpoint, host, connection, certificates)
        except ssl.SSLCertVerificationError as error:
            raise ProbeError(f"{endpoint}: its certificate is not accepted: {error.verify_message}") from None
        except (ssl.SSLError, OSError) as error:
            raise ProbeError(f"{endpoint}: TLS failed: {getattr(error, 'reason', None) or error}") from None


def _handshake(endpoint: str, host: str, connection: socket.socket, certificates: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # Below, to name the addresses that the certificate has.
    context.load_verify_locations(certificates / "authority.pem")
    context.load_cert_chain(certificates / "member.pem", certificates / "member.key")
    with context.wrap_socket(connection, server_hostname=host) as secure:
        names: list[tuple[str, str]] = list((secure.getpeercert() or {}).get("subjectAltName", ()))  # type: ignore[arg-type]
        who = next((value for kind, value in names if kind == "URI"), "a certificate without a name")
        addresses = [value for kind, value in names if kind != "URI"]
        if not any(_same(host, each) for each in addresses):
            raise ProbeError(
                f"{endpoint}: the certificate of {who} does not have the dialled address {host}, only "
                f"{', '.join(addresses) or 'none'}: issue it again with --address {host}"
            )
        secure.settimeout(_VERDICT_S)
        try:
            verdict = secure.recv(1)
        except TimeoutError:
            return f"{endpoint}: {who}"
        except ssl.SSLError as error:
            why = _verdict(error, certificates)
            raise ProbeError(f"{endpoint}: {who} does not accept this certificate: {why}") from None
        if not verdict:
            raise ProbeError(f"{endpoint}: {who} hung up")
        return f"{endpoint}: {who}"


def _verdict(error: ssl.SSLError, certificates: Path) -> str:
    """Why a listener does not accept the certificate. TLS says "expired" also of one that is not valid yet."""
    reason = error.reason or str(error)
    if "EXPIRED" not in reason and "NOT_YET_VALID" not in reason:
        return reason
    why = out_of_time(read_certificate(certificates / "member.pem"), datetime.now(UTC))
    return f"it {why}" if why else f"{reason}, but by the clock here it is valid: is the other clock right?"


def _same(host: str, name: str) -> bool:
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(name)
    except ValueError:
        return host.lower() == name.lower()


def check_ports(listen: Sequence[str], metrics: tuple[str, int] | None, state: Path | None) -> None:
    """`ConfigError` if another process holds a port that the node needs, or an address is not of this machine.

    If another process holds the ``state`` folder, that is the node itself, which has its ports already.
    """
    if state is not None and is_held(state):
        return
    wanted = [("network.listen", endpoint, *host_and_port(endpoint)) for endpoint in listen]
    if metrics is not None:
        wanted.append(("node.metrics", f"{metrics[0]}:{metrics[1]}", *metrics))
    with contextlib.ExitStack() as stack:
        for key, text, host, port in wanted:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
                one = stack.enter_context(socket.socket(found[0], socket.SOCK_STREAM))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if found[0] == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind(found[4])
                one.listen(1)
            except OSError as error:
                raise ConfigError(f"{key}: cannot listen at {text}: {error.strerror}") from None


def is_own(endpoint: str, listen: Sequence[str]) -> bool:
    """Whether an endpoint is one where this machine itself listens.

    Examples
    --------
    >>> is_own("tcp/127.0.0.1:7447", ["tcp/0.0.0.0:7447"]), is_own("tcp/192.0.2.1:7447", ["tcp/0.0.0.0:7447"])
    (True, False)
    >>> is_own("tcp/127.0.0.1:7447", ["tcp/127.0.0.2:7447"]), is_own("tcp/127.0.0.1:7448", ["tcp/0.0.0.0:7447"])
    (False, False)
    """
    host, port = host_and_port(endpoint)
    hosts = [at for at, number in map(host_and_port, listen) if number == port]
    if not hosts:
        return False
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return any(at in found or (at in ("0.0.0.0", "::") and any(map(is_local, map(str, found)))) for at in hosts)


def is_local(address: str) -> bool:
    """Whether an IP address is one of this machine.

    Examples
    --------
    >>> is_local("127.0.0.1"), is_local("192.0.2.1")
    (True, False)
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.bind((address, 0))
        return True
    return False


def is_held(state: Path) -> bool:
    """Whether a process runs with a state folder."""
    try:
        handle = os.open(state / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
