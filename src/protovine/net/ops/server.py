"""Metrics, health and status over HTTP, for Prometheus, orchestrators and people.

========== =============================================================================================
/metrics   Prometheus text, or OpenMetrics if the client asks for it
/healthz   200 while the event loop has run in the last 5 s, else 503; JSON
/readyz    200 once a member was met, or if none is expected, and source and sink are connected; else 503; JSON
/status    `Runtime.status` as JSON
========== =============================================================================================

It runs in threads of its own, so that it answers when the event loop is stuck; numbers are read in the loop. A client
gets five seconds and one answer. There is no authentication: bind it to an address that only permitted readers reach.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from protovine.errors import ConfigError
from protovine.net.ops.http import Http, OneAnswer
from protovine.net.ops.meter import SocketMeter
from protovine.net.ops.metrics import make_registry, read
from protovine.net.runtime import Runtime
from protovine.net.status import sink_status, source_status

_log = logging.getLogger("protovine")

ADDRESS = "127.0.0.1:9100"
# A loop that has not run for this long is not healthy.
SILENCE_MAX_S = 5.0
_BEAT_S = 0.5
_LOOP_S = 2.0

T = TypeVar("T")


def parse_address(text: str, what: str = "metrics") -> tuple[str, int]:
    """Host and port in ``HOST:PORT``; port 0 is any free one. Errors call it ``what``.

    Examples
    --------
    >>> parse_address("127.0.0.1:9100"), parse_address("[::1]:9100")
    (('127.0.0.1', 9100), ('::1', 9100))
    >>> parse_address("9100")
    Traceback (most recent call last):
    protovine.errors.ConfigError: metrics must be HOST:PORT, such as 127.0.0.1:9100, got '9100'
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # Without brackets nothing shows where the address ends and the port begins.
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError(f"{what} must be HOST:PORT, such as 127.0.0.1:9100, got {text!r}")
    return host, int(port)


class Server:
    """Serves metrics, health and status of a runtime until it is closed.

    Parameters
    ----------
    runtime : Runtime or None
        None while the node is being started; it is set later, with `serve`.
    address : str
        ``HOST:PORT``.
    peers_expected : bool
        False for a node that may have no peers: it is ready at once.

    Raises
    ------
    ConfigError
        The address is malformed or in use.
    """

    def __init__(
        self,
        runtime: Runtime | None,
        address: str = ADDRESS,
        *,
        peers_expected: bool = True,
    ) -> None:
        self.runtime, self._peers_expected = runtime, peers_expected
        self._meter = SocketMeter(headers=True)
        # What a node without a runtime does.
        self.phase = "starting"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._heard_s, self._lag_s = time.monotonic(), 0.0
        self.registry = make_registry(lambda: self.ask(self._read))
        host, port = parse_address(address)
        try:
            self._http = _Http(host, port, self)
        except OSError as error:
            raise ConfigError(f"cannot serve metrics at {address}: {error.strerror}") from None
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.25}, name="protovine-http", daemon=True
        )

    def serve(self, runtime: Runtime) -> None:
        """The node has started: its numbers are served from now on."""
        self.runtime = runtime

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    def start(self) -> None:
        """Begin to answer; call it in the event loop in which the runtime runs."""
        self._loop = asyncio.get_running_loop()
        self._listen_to_loop()
        self._thread.start()
        _log.info("metrics and health at http://%s", self.address, extra={"address": self.address})
        host = str(self._http.server_address[0])
        if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            _log.warning("any process that reaches %s can read metrics and status", self.address)

    def close(self) -> None:
        """Stop answering."""
        if self._beat is not None:
            self._beat.cancel()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join(1.0)
        self._http.close_clients()
        self._http.server_close()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _listen_to_loop(self, due_s: float | None = None) -> None:
        assert self._loop is not None
        now_s = self._loop.time()
        self._lag_s = 0.0 if due_s is None else max(0.0, now_s - due_s)
        self._heard_s = time.monotonic()
        self._beat = self._loop.call_at(now_s + _BEAT_S, self._listen_to_loop, now_s + _BEAT_S)

    def _read(self) -> Any:
        return None if self.runtime is None else read(self.runtime, lag_s=self._lag_s, meter=self._meter)

    # -- For the threads that answer. ----------------------------------------------------------------------------------

    def ask(self, what: Callable[[], T]) -> T:
        """The result of calling ``what`` in the event loop; ``TimeoutError`` if there is none in two seconds."""
        found: concurrent.futures.Future[T] = concurrent.futures.Future()

        def answer() -> None:
            if not found.set_running_or_notify_cancel():
                return  # The caller no longer waits.
            try:
                found.set_result(what())
            except Exception as error:
                found.set_exception(error)

        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(answer)
        except RuntimeError:
            raise TimeoutError("the event loop has ended") from None
        try:
            return found.result(_LOOP_S)
        except TimeoutError:
            found.cancel()
            raise TimeoutError(f"the event loop did not answer in {_LOOP_S:g} s") from None

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the event loop runs, and the reason."""
        silent_s = round(time.monotonic() - self._heard_s, 3)
        good = silent_s <= SILENCE_MAX_S
        why = f"the event loop ran {silent_s:.1f} s ago" + ("" if good else f", more than {SILENCE_MAX_S:g} s")
        return good, {"healthy": good, "why": why, "silent_s": silent_s}

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether the node is part of a swarm, and the reason."""
        good, body = self.health()
        runtime = self.runtime
        if runtime is None:
            return False, {"ready": False, "why": self.phase if good else body["why"], "peers_met": 0, "peers_alive": 0}
        met = len(runtime.roster.peers)
        source = source_status(runtime.source, runtime.tally, runtime.clock.steady())
        sink = sink_status(runtime.sink)
        if not good:
            why = body["why"]
        elif runtime.claim.stands_by:
            good, why = False, "it stands by, because a later start of this node is known"
        elif runtime.trusting.revoked:
            good, why = False, "the certificate of this node was revoked"
        elif runtime.trusting.ended(runtime.shows_ns):
            good, why = False, "the certificate of this node has ended"
        elif source is not None and not source["connected"] and runtime.feeding:
            good, why = False, ": ".join(filter(None, ["the source is not connected", source.get("why")]))
        elif sink is not None and not sink["connected"] and runtime.feeding:
            good, why = False, "the sink is not connected"
        elif not self._peers_expected or runtime.neighbours == frozenset():
            why = "no peers are expected"
        else:
            good = met > 0
            why = f"peers met: {met}" if met else "; ".join(["no peer was met yet", *runtime.tally.warnings])
        alive = len(runtime.roster.alive)
        waiting = runtime.node.unlabelled
        return good, {
            "ready": good,
            "why": why,
            "peers_met": met,
            "peers_alive": alive,
            "source": source,
            "sink": sink,
            "prediction_s": runtime.tally.predicting.summary(),
            "awaiting_labels": waiting,
            "warnings": runtime.warnings,
        }

    def status(self) -> dict[str, Any]:
        """The status page."""
        return {"phase": self.phase} if self.runtime is None else self.ask(self.runtime.status)


class _Http(Http):
    """The server with its owner, which handlers ask."""

    def __init__(self, host: str, port: int, owner: Server) -> None:
        self.owner = owner
        super().__init__(host, port, _Handler, "metrics or health")


class _Handler(OneAnswer):
    server: _Http

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        owner = self.server.owner
        try:
            if path == "/metrics":
                self._metrics()
            elif path == "/healthz":
                self._judged(*owner.health())
            elif path == "/readyz":
                self._judged(*owner.readiness())
            elif path == "/status":
                self.send_json(HTTPStatus.OK, owner.status())
            else:
                known = ["/metrics", "/healthz", "/readyz", "/status"]
                self.send_json(HTTPStatus.NOT_FOUND, {"error": "no such page", "pages": known})
        except TimeoutError as error:
            self.send_json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})

    do_HEAD = do_GET

    def _metrics(self) -> None:
        from prometheus_client.exposition import choose_encoder

        try:
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
        except (TypeError, ValueError):  # It names a version that is none.
            encode, kind = choose_encoder("")
        self.send(HTTPStatus.OK, kind, encode(self.server.owner.registry))

    def _judged(self, good: bool, body: dict[str, Any]) -> None:
        self.send_json(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body)
