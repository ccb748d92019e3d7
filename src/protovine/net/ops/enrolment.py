"""Enrolment over the network: the authority's server, and how a device asks it with a token.

A device opens a TLS connection, compares the server's certificate with the fingerprint in its token, and only then
sends the secret of the token and its request. The server answers with the certificate. Keys never travel.

    POST /enrol   {"name": …, "secret": hex, "request": PEM}
    200           {"member.pem": PEM, "authority.pem": PEM, "revoked.pem": PEM}
    403, 429      {"error": text}
"""

from __future__ import annotations

import hmac
import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from protovine.errors import ConfigError
from protovine.net.ops.http import Http, OneAnswer
from protovine.net.ops.server import parse_address
from protovine.net.pacing import TokenBucket
from protovine.net.security.files import replace_file
from protovine.net.security.identity import load_client, load_member
from protovine.net.security.requests import request
from protovine.net.security.tokens import Token, redeem, server_files

_log = logging.getLogger("protovine")

ADDRESS = "0.0.0.0:7448"
PATH = "/enrol"
ANSWER = ("member.pem", "authority.pem", "revoked.pem")
BODY_BYTES_MAX = 16_384
# A revocation list of 100,000 members has 4 MB.
_ANSWER_BYTES_MAX = 2**24
# Requests at once, and per second in the long run. A token of 128 bits is not guessed anyway.
_BURST, _PER_S = 100, 5.0
# A device behind a slow link needs five round trips.
_CLIENT_S, _CLIENTS_MAX = 30.0, 64
# Of a body that is too long, read and dropped: bytes at a time, and times.
_DROPPED_BYTES, _DROPS_MAX = 65_536, 16


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    secret: str
    request: str


class EnrolmentServer:
    """Answers devices that show tokens of an authority, until it is closed.

    Parameters
    ----------
    authority : Path
        The authority's folder.
    address : str
        ``HOST:PORT`` to listen at.
    clock : callable () -> datetime
        The time, with a time zone.

    Raises
    ------
    ConfigError
        The address is malformed or in use, or the authority cannot be used.
    """

    def __init__(self, authority: Path, address: str = ADDRESS, *, clock: Callable[[], datetime]) -> None:
        self.authority, self.clock = authority, clock
        certificate, key = server_files(authority, clock())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(certificate, key)
        self._allowed = TokenBucket(_PER_S, _BURST, time.monotonic_ns())
        self._lock = threading.Lock()
        host, port = parse_address(address, "listen")
        try:
            self._http = _Http(host, port, self, context)
        except OSError as error:
            raise ConfigError(f"cannot listen at {address}: {error.strerror}") from None
        port = self._http.server_port
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="protovine-enrolment", daemon=True
        )

    def __enter__(self) -> EnrolmentServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._http.close_clients()
        self._http.server_close()

    def answer(self, body: bytes, sender: str) -> tuple[HTTPStatus, dict[str, Any]]:
        """What a device gets for its request."""
        with self._lock:
            allowed = self._allowed.take(time.monotonic_ns())
        if not allowed:
            return HTTPStatus.TOO_MANY_REQUESTS, {"error": "too many requests: try again in a minute"}
        try:
            asked = msgspec.json.decode(body, type=_Asked)
            secret = bytes.fromhex(asked.secret)
            files = redeem(self.authority, asked.name, secret, asked.request.encode(), self.clock())
        except (msgspec.MsgspecError, ValueError) as error:
            refusal = str(error) if isinstance(error, ConfigError) else "the request is malformed"
            _log.warning("refused a request from %s: %s", sender, refusal)
            return HTTPStatus.FORBIDDEN, {"error": refusal}
        _log.info("%s has its certificate, asked from %s", asked.name, sender)
        return HTTPStatus.OK, {name: files[name].decode() for name in ANSWER}


class _Http(Http):
    clients_max, client_s, request_queue_size = _CLIENTS_MAX, _CLIENT_S, 128

    def __init__(self, host: str, port: int, owner: EnrolmentServer, context: ssl.SSLContext) -> None:
        self.owner, self._context = owner, context
        super().__init__(host, port, _Handler, "a certificate")

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection whose TLS handshake happens in its own thread, so that a slow one delays no other."""
        plain, sender = self.socket.accept()
        return self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), sender


class _Handler(OneAnswer):
    timeout = _CLIENT_S
    server: _Http

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self.send_json(HTTPStatus.NOT_FOUND, {"error": "no such page", "pages": [PATH]})
        elif not (length.isascii() and length.isdecimal()) or len(length) > 9 or int(length) > BODY_BYTES_MAX:
            self.send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"at most {BODY_BYTES_MAX} bytes"})
            # Closed with bytes unread, the connection would be reset before the client has its answer.
            for _ in range(_DROPS_MAX):
                if not self.rfile.read1(_DROPPED_BYTES):
                    break
        else:
            body = self.rfile.read(int(length))
            self.send_json(*self.server.owner.answer(body, str(self.client_address[0])))


def enrol(text: str, server: str, out: Path, *, now: datetime) -> None:
    """Get a certificate with a token, into a member's folder: a new one, or one with the key of an earlier attempt.

    Parameters
    ----------
    text : str
        The token.
    server : str
        ``HOST:PORT`` of `EnrolmentServer`.
    out : Path
        The member's folder.
    now : datetime
        With a time zone.

    Raises
    ------
    ConfigError
        The token is none, the server cannot be reached, is another or refuses, or the folder cannot be used.
    """
    token = Token.parse(text)
    host, port = parse_address(server, "server")
    pem = request(out, token.name).public_bytes(Encoding.PEM)
    asked = _Asked(token.name, token.secret.hex(), pem.decode())
    answer = _ask(host, port, token.pin, msgspec.json.encode(asked))
    before = {name: path.read_bytes() for name in ANSWER if (path := out / name).exists()}
    for name in ANSWER:
        replace_file(out / name, answer[name].encode())
    try:
        _check(out, now)
    except ConfigError:
        for name in ANSWER:
            (out / name).unlink()
        for name, data in before.items():
            replace_file(out / name, data)
        raise
    (out / "request.pem").unlink(missing_ok=True)


def _check(out: Path, now: datetime) -> None:
    """`ConfigError` unless the folder is of a member or an operator."""
    try:
        load_member(out, now)
    except ConfigError as error:
        try:
            load_client(out, now)
        except ConfigError:
            raise error from None


def _ask(host: str, port: int, pin: bytes, body: bytes) -> dict[str, str]:
    """The files that the server answers with."""
    where = f"{host}:{port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # No authority is asked about the server: its certificate must be the one that the token names.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=_CLIENT_S, context=context)
    try:
        connection.connect()
        certificate = connection.sock.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(sha256(certificate).digest(), pin):
            raise ConfigError(f"the server at {where} is not the one that the token names: nothing was sent to it")
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read(_ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise ConfigError(f"no answer from an enrolment server at {where}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    try:
        answer = msgspec.json.decode(data, type=dict[str, str])
    except msgspec.MsgspecError:
        answer = {}
    if response.status != HTTPStatus.OK:
        raise ConfigError(f"the authority refuses: {answer.get('error', response.status)}")
    if set(answer) != set(ANSWER):
        raise ConfigError(f"the server at {where} sent no certificate")
    return answer
