"""A connection to an MQTT broker that is made again whenever it breaks, for sources and sinks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import os
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from protovine.errors import ConfigError, check_range
from protovine.net.causes import CONNECTION, Report
from protovine.net.io.devices import UNSENDABLE
from protovine.net.pacing import TokenBucket

if TYPE_CHECKING:
    import aiomqtt

_log = logging.getLogger("protovine")

PORT, PORT_TLS = 1883, 8883
TOPIC_BYTES_MAX = 65_535

# Letters of other alphabets are allowed: the system's resolver knows them.
_HOST = re.compile(r"[^\W_](?:[\w.-]*\w)?\.?|_[\w.-]*\w")
# For an answer of the broker; also how long it takes to notice that it hung up before the first one.
_TIMEOUT_S = 5.0
# An outage that lasts is reported again after this long; of many short ones, 10 at once and then one in this time.
_REMIND_S, _OUTAGES_MAX = 60.0, 10.0


class BrokerSettings(TypedDict, total=False):
    """The parameters of `Broker` besides the host; MQTT sources and sinks pass them on."""

    port: int | None
    username_env: str | None
    password_env: str | None
    tls: bool
    ca_file: str | os.PathLike[str] | None
    certificate_file: str | os.PathLike[str] | None
    key_file: str | os.PathLike[str] | None
    client_id: str | None
    retry_s_min: float
    retry_s_max: float


class Outages:
    """Reports every outage of a connection when it begins and while it lasts, at a bounded rate.

    Parameters
    ----------
    report : callable (reason, text)
    clock : callable () -> float
        Seconds, never decreasing.

    Examples
    --------
    >>> now_s = [0.0]
    >>> outages = Outages(lambda reason, text: print(text), lambda: now_s[0])
    >>> outages.failed("refused")
    refused
    >>> outages.failed("refused")
    >>> now_s[0] = 61.0
    >>> outages.failed("refused")
    refused (not connected for 61 s)
    >>> outages.connected()
    61.0
    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._since_s: float | None = None
        self._reported_s = 0.0
        self._left_out = 0
        self._allowed = TokenBucket(1 / _REMIND_S, _OUTAGES_MAX, round(clock() * 1e9))

    def failed(self, text: str) -> None:
        """A connection could not be made, or broke."""
        now_s = self._clock()
        if self._since_s is None:
            self._since_s = now_s
        elif now_s - self._reported_s < _REMIND_S:
            return
        if not self._allowed.take(round(now_s * 1e9)):
            self._left_out += 1
            return
        lasts_s = now_s - self._since_s
        more = f" (not connected for {lasts_s:.0f} s)" if lasts_s else ""
        more += f" ({self._left_out} more outages since the last report)" if self._left_out else ""
        self._reported_s, self._left_out = now_s, 0
        self._report(CONNECTION, text + more)

    def connected(self) -> float | None:
        """There is a connection again; how long there was none, in seconds, or None at the first connection."""
        since_s, self._since_s = self._since_s, None
        return None if since_s is None else self._clock() - since_s


class Broker:
    """The address of a broker and how to log in.

    Parameters
    ----------
    host, port : str, int
        The port is 1883, or 8883 with TLS, when not given.
    username_env, password_env : str, optional
        Names of the environment variables that hold them, so that no file has to.
    tls : bool
        Encrypt, and check the broker's name and certificate. Implied by the three files.
    ca_file, certificate_file, key_file : path, optional
        PEM files: authorities to believe instead of the system's; this client's certificate and its key.
    client_id : str, optional
        With one, the broker keeps messages of QoS 1 and 2 while this client is away. No two clients may have the same.
    retry_s_min, retry_s_max : float
        Pauses before connecting again: the first, doubled after every failure up to the last, and each shortened by
        up to a half at random so that many clients do not come back at once.

    Raises
    ------
    ConfigError
        A value is out of range, a file or an environment variable cannot be used, or aiomqtt is not installed.
    """

    def __init__(
        self,
        host: str,
        *,
        port: int | None = None,
        username_env: str | None = None,
        password_env: str | None = None,
        tls: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
        certificate_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        client_id: str | None = None,
        retry_s_min: float = 0.5,
        retry_s_max: float = 30.0,
    ) -> None:
        try:
            import aiomqtt  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"MQTT needs aiomqtt ({error}): pip install 'protovine[net]'") from error
        _check_host(host)
        if password_env is not None and username_env is None:
            raise ConfigError("password_env needs username_env")
        if (certificate_file is None) != (key_file is None):
            raise ConfigError("certificate_file and key_file go together")
        if client_id is not None and not 1 <= len(client_id.encode()) <= TOPIC_BYTES_MAX:
            raise ConfigError(f"client_id must be a text of 1 to {TOPIC_BYTES_MAX} bytes, got {client_id!r:.80}")
        check_range("retry_s_min", retry_s_min, 0.001, 3600)
        check_range("retry_s_max", retry_s_max, retry_s_min, 3600)
        with_tls = tls or ca_file is not None or certificate_file is not None
        self.host, self.port = host, port if port is not None else PORT_TLS if with_tls else PORT
        check_range("port", self.port, 1, 65_535)
        self.connections = 0
        self.connected = False
        # A message that the broker publishes when this client is gone without a word: topic and payload.
        self.will: tuple[str, str] | None = None
        self._client_id, self._retry_s_min, self._retry_s_max = client_id, retry_s_min, retry_s_max
        self._username, self._password = (
            _variable("username_env", username_env),
            _variable("password_env", password_env),
        )
        self._files = ca_file, certificate_file, key_file
        self._tls = _tls_context(*self._files) if with_tls else None

    def __str__(self) -> str:
        return f"{'mqtts' if self._tls else 'mqtt'}://{self.host}:{self.port}"

    def connect(
        self,
        use: Callable[[aiomqtt.Client], Awaitable[None]],
        take: Callable[[aiomqtt.Message], None],
        report: Report,
        ended: Callable[[BaseException | None], None],
    ) -> asyncio.Task[None]:
        """A task that does `keep_connected`; ``ended`` gets the error if it ends uncancelled, which is a bug."""
        task = asyncio.create_task(self.keep_connected(use, take, report))

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                ended(task.exception())

        task.add_done_callback(done)
        return task

    async def keep_connected(
        self,
        use: Callable[[aiomqtt.Client], Awaitable[None]],
        take: Callable[[aiomqtt.Message], None],
        report: Report,
    ) -> None:
        """Connect, and ``use`` the client until the connection breaks, for ever; ``take`` gets every message.

        ``report("connection", text)`` is called when a connection cannot be made or breaks, and again every minute
        while there is none; after ten outages in a row, once a minute.
        """
        import aiomqtt

        pause_s = self._retry_s_min
        outages = Outages(report)
        client: aiomqtt.Client | None = None
        while True:
            if client is None:
                client = self._client(take)
            self._read_files()
            connected_s = time.monotonic()
            try:
                async with client as connected:
                    # A client that failed to connect closes its old socket when it tries again. One that was connected
                    # would take its next connection for made before it is.
                    client = None
                    self.connections += 1
                    self.connected = True
                    away_s = outages.connected()
                    if away_s is not None:
                        _log.info("%s: connected again after %.1f s", self, away_s)
                    await use(connected)
            except (aiomqtt.MqttError, OSError) as error:
                outages.failed(f"{self}: {error}; trying again")
            finally:
                self.connected = False
            if client is None and time.monotonic() - connected_s > self._retry_s_max:
                pause_s = self._retry_s_min
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, self._retry_s_max)

    def _read_files(self) -> None:
        """Take up the files as they are now: certificates are renewed while a node runs."""
        ca_file, certificate_file, key_file = self._files
        if self._tls is None:
            return
        with contextlib.suppress(OSError):  # One of them may be on its way: the next connection tries again.
            if ca_file is not None:
                self._tls.load_verify_locations(ca_file)
            if certificate_file is not None:
                self._tls.load_cert_chain(certificate_file, key_file)

    def _client(self, take: Callable[[aiomqtt.Message], None]) -> aiomqtt.Client:
        import aiomqtt

        return aiomqtt.Client(
            self.host,
            self.port,
            username=self._username,
            password=self._password,
            identifier=self._client_id,
            clean_session=self._client_id is None,
            tls_context=self._tls,
            will=None if self.will is None else aiomqtt.Will(*self.will, qos=1, retain=True),
            timeout=_TIMEOUT_S,
            queue_type=functools.partial(_Tap, take),  # type: ignore[arg-type]
        )


class _Tap(asyncio.Queue[Any]):
    """What aiomqtt takes for its queue of incoming messages: each goes straight on, and nothing is ever held."""

    def __init__(self, take: Callable[[aiomqtt.Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._take = take

    def put_nowait(self, item: Any) -> None:
        self._take(item)


async def until_disconnected(client: aiomqtt.Client) -> None:
    """Wait until the connection breaks, and raise `aiomqtt.MqttError` then."""
    async for _ in client.messages:
        raise AssertionError("a message came past the tap")


def _check_host(host: str) -> None:
    """`ConfigError` unless it is a host's name or address, and nothing more."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.partition("%")[0])
        return
    if not host or not host.isprintable() or not _HOST.fullmatch(host):
        hint = ""
        if "://" in host or ":" in host or "/" in host:
            hint = ": without a protocol, port or path, which port and tls are for"
        raise ConfigError(f"host must be a host's name or address, got {host!r}{hint}")


def check_qos(qos: int) -> None:
    """`ConfigError` unless it is 0, 1 or 2."""
    if qos not in (0, 1, 2) or isinstance(qos, bool):
        raise ConfigError(f"qos must be 0 (at most once), 1 (at least once) or 2 (exactly once), got {qos!r}")


def check_topic(topic: str, *, pattern: bool) -> None:
    """`ConfigError` unless it is a topic, or a topic filter with the wildcards + and # if it is a ``pattern``."""
    if not isinstance(topic, str) or not 1 <= len(topic.encode(errors="replace")) <= TOPIC_BYTES_MAX:
        raise ConfigError(f"a topic must be a text of 1 to {TOPIC_BYTES_MAX} bytes, got {topic!r:.80}")
    if re.search(f"[{UNSENDABLE}]", topic):
        raise ConfigError(f"a topic must have no control characters, got {topic!r:.80}")
    if not pattern and ("+" in topic or "#" in topic):
        raise ConfigError(f"a topic to publish to must not have the wildcards + and #, got {topic!r}")
    levels = topic.split("/")
    if pattern and levels[0] == "$share":
        if len(levels) < 3 or not levels[1] or "+" in levels[1] or "#" in levels[1] or levels[2:] == [""]:
            raise ConfigError(f"a shared topic is $share/GROUP/TOPIC, got {topic!r}")
        levels = levels[2:]
    if any("+" in level and level != "+" for level in levels) or any("#" in level for level in levels[:-1]):
        raise ConfigError(f"in a topic + stands for a level and # for the last ones, got {topic!r}")
    if "#" in levels[-1] and levels[-1] != "#":
        raise ConfigError(f"in a topic + stands for a level and # for the last ones, got {topic!r}")


def _variable(setting: str, name: str | None) -> str | None:
    if name is None:
        return None
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"{setting} names the environment variable {name!r}, which is not set")
    return value


def _tls_context(
    ca_file: str | os.PathLike[str] | None,
    certificate_file: str | os.PathLike[str] | None,
    key_file: str | os.PathLike[str] | None,
) -> ssl.SSLContext:
    for name, path in (("ca_file", ca_file), ("certificate_file", certificate_file), ("key_file", key_file)):
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"{name}: no such file: {path}")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file: {ca_file} holds no certificates in PEM ({error})") from error
    if certificate_file is not None:
        try:
            context.load_cert_chain(certificate_file, key_file)
        except OSError as error:
            raise ConfigError(
                f"certificate_file and key_file: {certificate_file} and {key_file} are not a certificate and its key "
                f"in PEM ({error})"
            ) from error
    return context
