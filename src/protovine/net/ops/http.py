"""A small HTTP server for a few clients, each of which gets one answer in bounded time."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

_log = logging.getLogger("protovine")

# From the beginning of a connection to its end, whatever the client does.
CLIENT_S = 5.0
# When more come at a time, the oldest is ended.
CLIENTS_MAX = 8


class Http(ThreadingHTTPServer):
    """A server with at most ``clients_max`` clients, each for at most ``client_s`` seconds.

    Parameters
    ----------
    host, port : str, int
    handler : subclass of `OneAnswer`
    what : str
        What clients ask for, in messages.

    Raises
    ------
    OSError
        The address cannot be listened at.
    """

    clients_max, client_s = CLIENTS_MAX, CLIENT_S
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, handler: type[OneAnswer], what: str) -> None:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = family
        self.what = what
        self._clients: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._failed = False
        super().__init__((str(where[0]), int(where[1])), handler)

    def server_bind(self) -> None:
        # The standard library's method looks up the host's name, which can take seconds without a name server.
        self.allow_reuse_port = False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            while len(self._clients) >= self.clients_max:
                # The oldest, because an honest client is done in milliseconds.
                oldest = next(iter(self._clients))
                del self._clients[oldest]
                _end(oldest)
            self._clients[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Between requests: end the clients whose time is over, however slowly they send."""
        now = time.monotonic()
        with self._lock:
            for request in [r for r, since in self._clients.items() if now - since > self.client_s]:
                del self._clients[request]
                _end(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def close_clients(self) -> None:
        with self._lock:
            for request in self._clients:
                _end(request)
            self._clients.clear()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not report clients that hang up; the standard library would print a traceback."""
        if isinstance(sys.exception(), OSError):
            _log.debug("a client that asked for %s went away", self.what, exc_info=True)
        else:
            # A client that finds a bug of ours must not be able to fill the log.
            level, self._failed = logging.DEBUG if self._failed else logging.ERROR, True
            _log.log(level, "a request for %s failed", self.what, exc_info=True)


def _end(request: socket.socket) -> None:
    """Wake the thread that reads or writes there; it closes the socket."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class OneAnswer(BaseHTTPRequestHandler):
    """Answers one request per connection; each wait for bytes is bounded too."""

    protocol_version = "HTTP/1.0"
    timeout = CLIENT_S
    server: Http

    def send_json(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        """Answer with a JSON object."""
        self.send(status, "application/json", msgspec.json.encode(body) + b"\n")

    def send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        """Answer with ``body`` of the media type ``kind``."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """The name of the server, without the version of Python."""
        return "protovine"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: frequent requests must not fill the log."""
