"""What a request must be before anything answers it: for this host, from this page, small."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from protovine.errors import ConfigError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A page that may load nothing from elsewhere, run nothing that is not in a file of this server, and not be framed.
HEADERS: tuple[tuple[str, str], ...] = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)
_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS]
TOKEN_HEADER = "x-protovine-token"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("10.0.0.7"), is_loopback("localhost")
    (True, False, False)
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def allowed_hosts(address: str, port: int) -> frozenset[str]:
    """The values of the header Host that name this server; `ConfigError` if the address is not one to reach it by.

    Examples
    --------
    >>> sorted(allowed_hosts("127.0.0.1", 8800))
    ['127.0.0.1:8800', '[::1]:8800', 'localhost:8800']
    >>> sorted(allowed_hosts("10.0.0.7", 80))
    ['10.0.0.7', '10.0.0.7:80']
    >>> allowed_hosts("0.0.0.0", 80)
    Traceback (most recent call last):
    protovine.errors.ConfigError: --host must be one address of this machine, such as 127.0.0.1, got '0.0.0.0'
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        known = None
    if known is None or known.is_unspecified or known.is_multicast:
        raise ConfigError(f"--host must be one address of this machine, such as 127.0.0.1, got {address!r}")
    shown = f"[{known}]" if known.version == 6 else str(known)
    names = [shown, "127.0.0.1", "localhost", "[::1]"] if known.is_loopback else [shown]
    hosts = {f"{name}:{port}" for name in names}
    return frozenset(hosts | set(names) if port == 80 else hosts)


class Guard:
    """Refuses requests for other hosts and from other origins, and adds the headers that lock the page.

    A page of another site may send requests here; its Origin betrays it. Browsers send none with what they load into a
    page, such as images, but they say that another site asks (Sec-Fetch-Site): that may only link to the page. A name
    of another site may be made to point here (DNS rebinding); its Host betrays it.
    """

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts
        self._origins = {f"http://{host}" for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def locked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            await _refuse(locked, 421, "this server does not have that name")
        elif any(origin not in self._origins for origin in origins) or not _is_own(scope):
            await _refuse(locked, 403, "this server answers only its own page")
        else:
            await self._app(scope, receive, locked)


def is_token(given: str | None, wanted: str) -> bool:
    """Whether a token is the right one; it takes the same time whatever is wrong."""
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _is_own(scope: Scope) -> bool:
    """Whether this server's page asks, a program that is no browser, or somebody who follows a link to the page."""
    sites = _values(scope, b"sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites):
        return True
    opens = _values(scope, b"sec-fetch-mode") == ["navigate"] and _values(scope, b"sec-fetch-dest") == ["document"]
    return opens and scope["method"] == "GET" and scope["path"] == "/"


async def _refuse(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
