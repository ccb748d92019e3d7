"""The page over HTTP: static files, pictures as server-sent events, and commands with a token.

===================== ==================================================================================
/                     the page; its scripts, styles and licences lie beside it
/api/about            what is shown, as JSON
/api/stream           pictures of one system, four times a second
/api/frame            one picture of a recorded run
/api/curves           all curves of a system
/api/inside           the prototypes of one node, and trust
/api/act              POST: do something by hand; needs the token
===================== ==================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import Any, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from protovine.errors import ConfigError
from protovine.watch.guard import TOKEN_HEADER, Guard, allowed_hosts, is_token
from protovine.watch.recorded import Recorded
from protovine.watch.source import Source

PORT = 8800
TICK_S = 0.25
# A stream without news sends a comment this often, so that both sides notice a broken connection.
_HEARTBEAT_S = 5.0
STREAMS_MAX, BODY_BYTES_MAX = 16, 4096
# Requests name systems, also those that there are not.
_PICTURES_MAX = 100
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_encode = msgspec.json.Encoder().encode


class _Pictures:
    """The newest picture of each system, made once for all who watch it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._newest: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._making = asyncio.Lock()

    async def of(self, system: str) -> dict[str, Any] | None:
        async with self._making:
            at_s, frame = self._newest.get(system, (0.0, None))
            now_s = time.monotonic()
            if now_s - at_s >= 0.8 * TICK_S:
                frame = await asyncio.to_thread(self._source.frame, system)
                if len(self._newest) >= _PICTURES_MAX:
                    self._newest.clear()
                self._newest[system] = (now_s, frame)
            return frame


class _Handlers:
    def __init__(self, source: Source, token: str, ending: Callable[[], bool]) -> None:
        self.source, self.token, self.ending = source, token, ending
        self.instance = secrets.token_hex(8)
        self.streams = 0
        self.pictures = _Pictures(source)
        here = files("protovine.watch").joinpath("static")
        self.static = {
            path.name: path.read_bytes() for path in here.iterdir() if path.name.rpartition(".")[2] in _TYPES
        }

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name") or "index.html"
        body = self.static.get(name)
        if body is None:
            return _text(404, "there is no such page")
        tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)

    async def about(self, request: Request) -> Response:
        about = await asyncio.to_thread(self.source.about)
        return _json({**about, "instance": self.instance, "status": self.source.status()})

    async def frame(self, request: Request) -> Response:
        if not isinstance(self.source, Recorded):
            return _text(404, "only a recorded run has pictures by number")
        return await self._answer(lambda: self._recorded_frame(request))

    def _recorded_frame(self, request: Request) -> dict[str, Any]:
        assert isinstance(self.source, Recorded)
        system, at = _system(request), _number(request, "at", 0)
        return {"frame": self.source.frame(system, at), "status": self.source.status()}

    async def curves(self, request: Request) -> Response:
        system = _system(request)
        return await self._answer(lambda: self.source.curves(system, (-1, 0)))

    async def inside(self, request: Request) -> Response:
        system, node = _system(request), _number(request, "node", 0)
        at = _number(request, "at", -1)
        return await self._answer(lambda: self.source.inside(system, node, None if at < 0 else at))

    async def act(self, request: Request) -> Response:
        if not is_token(request.headers.get(TOKEN_HEADER), self.token):
            return _text(403, "this needs the token of the link that the command printed")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return _text(413, f"a command has at most {BODY_BYTES_MAX} bytes")
        try:
            command = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            return _text(400, "a command is a JSON object")

        def do() -> dict[str, Any]:
            self.source.act(command)
            return self.source.status()

        return await self._answer(do)

    async def stream(self, request: Request) -> Response:
        if self.streams >= STREAMS_MAX:
            return _text(503, f"{STREAMS_MAX} pages are open already")
        system = _system(request)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._events(system), media_type="text/event-stream", headers=headers)

    async def _events(self, system: str) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            yield b"retry: 1000\n\n"
            cursor, event, shown, sent_s = (-1, 0), 0, b"", 0.0
            while not self.ending():
                began_s = time.monotonic()
                frame = await self.pictures.of(system)
                status = {**self.source.status(), "instance": self.instance}
                message: dict[str, Any] = {"status": status}
                if frame is not None:
                    news = [each for each in frame["events"] if each["id"] > event]
                    curves = await asyncio.to_thread(self.source.curves, system, cursor)
                    cursor = tuple(curves["cursor"])
                    event = news[-1]["id"] if news else event
                    picture = {key: value for key, value in frame.items() if key != "events"}
                    message |= {"frame": picture, "events": news, "curves": curves}
                seen = _encode([message.get("frame", {}).get("t"), status, message.get("events"), cursor])
                if seen != shown:
                    shown, sent_s = seen, time.monotonic()
                    yield b"data: " + _encode(message) + b"\n\n"
                elif time.monotonic() - sent_s > _HEARTBEAT_S:
                    sent_s = time.monotonic()
                    yield b": nothing new\n\n"
                # What a picture takes is part of the tick, but others get their turn.
                await asyncio.sleep(max(0.1 * TICK_S, TICK_S - (time.monotonic() - began_s)))
        finally:
            self.streams -= 1

    async def _answer(self, make: Callable[[], Any]) -> Response:
        try:
            return _json(await asyncio.to_thread(make))
        except ConfigError as error:
            return _text(400, str(error))
        except KeyError as error:
            return _text(404, f"there is no {error} here yet")


def _system(request: Request) -> str:
    return request.query_params.get("system", "")[:100]


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else otherwise


def _json(value: Any) -> Response:
    return Response(_encode(value), media_type="application/json", headers={"cache-control": "no-store"})


def _text(status: int, words: str) -> Response:
    return Response(words, status, media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"})


def make_app(source: Source, token: str, hosts: frozenset[str], ending: Callable[[], bool] = lambda: False) -> Any:
    """The ASGI application; ``hosts`` are the allowed values of the header Host, ``ending`` says that streams end."""
    handlers = _Handlers(source, token, ending)
    routes = [
        Route("/api/about", handlers.about),
        Route("/api/frame", handlers.frame),
        Route("/api/curves", handlers.curves),
        Route("/api/inside", handlers.inside),
        Route("/api/stream", handlers.stream),
        Route("/api/act", handlers.act, methods=["POST"]),
        Route("/", handlers.page),
        Route("/{name}", handlers.page),
    ]
    return Guard(Starlette(routes=routes), hosts)


class Startable(Source, Protocol):
    """A source with a thread of its own."""

    def start(self) -> None:
        """Begin."""
        ...


class Server:
    """Serves the page of a source until it is interrupted.

    Parameters
    ----------
    source : Source
    host : str
        An address of this machine.
    port : int, optional
        0 is any free one; by default 8800, or any free one if that is taken.
    token : str, optional
        For commands; by default a new random one.

    Raises
    ------
    ConfigError
        The address cannot be used.
    """

    def __init__(
        self, source: Startable, host: str = "127.0.0.1", port: int | None = None, token: str | None = None
    ) -> None:
        allowed_hosts(host, 0)
        self.source = source
        self.token = token or secrets.token_urlsafe(18)
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self.host = host
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.port}/"
        self._ending = False
        app = make_app(source, self.token, allowed_hosts(host, self.port), lambda: self._http.should_exit)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=5,
            limit_concurrency=64,
        )
        self._http = uvicorn.Server(config)

    @property
    def link(self) -> str:
        """The address with the token, which a browser does not send as part of it."""
        return f"{self.address}#token={self.token}"

    def run(self) -> None:
        """Serve until the process is interrupted or `stop` is called; `KeyboardInterrupt` is for the caller."""
        self.source.start()
        try:
            self._http.run(sockets=[self._socket])
        finally:
            self.source.close()
            self._socket.close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._http.should_exit = True


def _listen(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for each in (PORT, 0) if port is None else (port,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError, OverflowError):
            listener.bind((host, each))
            listener.listen(64)  # A browser that is opened at once waits until the server runs.
            return listener
        listener.close()
    raise ConfigError(f"cannot serve the page at {host}:{port}: {_why(host, port)}")


def _why(host: str, port: int | None) -> str:
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        probe.bind((host, port or 0))
    except OSError as error:
        return "the port is taken; name another with --port" if error.errno == errno.EADDRINUSE else str(error.strerror)
    except OverflowError:
        return "a port is 0 to 65535"
    finally:
        probe.close()
    return "try again"
