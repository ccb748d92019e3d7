"""Reloads a running node's files: on a signal, or when a file changes.

The node takes up the revocation list and the settings in `RELOADABLE`. Other changes wait for the next start, and the
log names each of them. A file that cannot be read changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError
from protovine.net.ops.logs import set_level
from protovine.net.runtime import Runtime
from protovine.net.security.authority import write_revocations
from protovine.net.security.files import replace_file
from protovine.net.security.identity import Trust, load_member, load_trust, read_file
from protovine.net.security.orders import SignedTombstone, pack_tombstones, unpack_tombstones
from protovine.records import SECOND_NS

_log = logging.getLogger("protovine")

RELOADABLE = ("node.log_level", "node.snapshot_s")
# In a member's folder: the tombstones of operators.
ORDERS = "tombstones.bin"
WATCH_S = 10.0
# Certificates that have expired are looked for this often.
_TRUST_S = 3600.0
_DAY_NS = 86_400 * SECOND_NS

Signature = tuple[int, int, int, int] | None


class Reloader:
    """Watches a node's files.

    Parameters
    ----------
    runtime : Runtime
    read : callable () -> mapping, optional
        Reads and checks the settings file: tables of settings by name. May raise `ConfigError` and `DataError`.
    settings : path, optional
        That file.
    certificates : path, optional
        The member's folder.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        read: Callable[[], Mapping[str, Any]] | None = None,
        settings: Path | None = None,
        certificates: Path | None = None,
    ) -> None:
        self.runtime, self.certificates = runtime, certificates
        self._read = read
        self._settings = flatten(read()) if read is not None else {}
        runtime.trusting.keep = self._keep
        if certificates is not None and (certificates / ORDERS).exists():
            self._take_orders(certificates, whole=True)
        runtime.trusting.keep_orders = self._keep_orders
        self._trusted_at = time.monotonic()
        self._said = self._when()  # The start has said it.
        self._asked = asyncio.Event()
        self._files = {
            "settings": [settings] if settings is not None else [],
            "trust": [certificates / "revoked.pem"] if certificates is not None else [],
            "orders": [certificates / ORDERS] if certificates is not None else [],
            "identity": [certificates / name for name in ("member.pem", "member.key")] if certificates else [],
            "authority": [certificates / "authority.pem"] if certificates else [],
        }
        self._seen = {name: _signatures(paths) for name, paths in self._files.items()}

    def request(self) -> None:
        """Reload soon; for a signal's handler in the event loop."""
        self._asked.set()

    async def watch(self, period_s: float = WATCH_S) -> None:
        """Reload when asked to, and what has changed every ``period_s`` seconds; for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period_s):
                    await self._asked.wait()
            asked = self._asked.is_set()
            if asked:
                self._asked.clear()
                _log.info("reloading")
            try:
                await self.look(everything=asked)
            except Exception:
                # A bug of ours. A node must not stop hearing of revoked certificates because of one file.
                _log.exception("a bug while files were reloaded: what has changed may wait for the next start")

    async def look(self, *, everything: bool = False) -> None:
        """Take up what has changed since the last look, or ``everything``."""
        changed = set()
        for name, paths in self._files.items():
            now = _signatures(paths)
            if now != self._seen[name]:
                changed.add(name)
                # Before it is read: if it changes meanwhile, it is read again.
                self._seen[name] = now
        if self._read is not None and (everything or "settings" in changed):
            self._take_settings()
        if self.certificates is not None and "identity" in changed:
            await self._take_identity(self.certificates)
        if self.certificates is not None and (everything or changed & {"trust", "authority"}):
            await self._take_trust(self.certificates)
        elif self.runtime.trusting.trust is not None and time.monotonic() - self._trusted_at > _TRUST_S:
            self._trusted_at = time.monotonic()
            self.runtime.update_trust(self.runtime.trusting.trust)
        if self.certificates is not None and "orders" in changed:
            self._take_orders(self.certificates)
        said, self._said = self._said, self._when()
        for text in self.runtime.trusting.warnings(self.runtime.shows_ns) if said != self._said else ():
            _log.warning("%s", text, extra={"reason": "certificate"})

    def _when(self) -> tuple[int, bool]:
        """The day, and whether the own certificate has ended: when that changes, it is time for a word on it."""
        now_ns = self.runtime.shows_ns
        return now_ns // _DAY_NS, self.runtime.trusting.ended(now_ns)

    def _take_settings(self) -> None:
        assert self._read is not None
        try:
            found = flatten(self._read())
        except (ConfigError, DataError) as error:
            _log.error("the settings stay as they were: %s", error)
            return
        before, self._settings = self._settings, found
        for key in sorted({*before, *found}):
            old, new = before.get(key), found.get(key)
            if old == new:
                continue
            if key not in RELOADABLE or new is None:
                _log.warning("%s changed and is taken up at the next start", key, extra={"key": key})
                continue
            try:
                self._apply(key, new)
            except ConfigError as error:
                _log.error("%s stays as it was: %s", key, error, extra={"key": key})
                continue
            _log.info("%s is now %s", key, new, extra={"key": key})

    def _apply(self, key: str, value: Any) -> None:
        if key == "node.log_level":
            set_level(value)
        elif key == "node.snapshot_s":
            self.runtime.snapshots.period_s = float(value)  # After the snapshot that is due next.

    async def _take_identity(self, folder: Path) -> None:
        try:
            identity, trust = await asyncio.to_thread(load_member, folder, datetime.now(UTC))
            if self.runtime.trusting.trust is None or trust.certificate != self.runtime.trusting.trust.certificate:
                raise ConfigError(f"{folder / 'member.pem'} is of another authority")
            if getattr(self.runtime.envelope, "serial", None) == identity.certificate.serial_number:
                return
            self.runtime.renew(identity)
        except ConfigError as error:  # Of two files, one may be on its way.
            _log.warning("the certificate stays as it was: %s", error)
            return
        end = identity.certificate.not_valid_after_utc
        _log.info("another certificate was taken up, until %s", f"{end:%Y-%m-%d}")

    async def _take_trust(self, folder: Path) -> None:
        try:
            # A long list takes a while to read.
            found = await asyncio.to_thread(load_trust, folder)
        except ConfigError as error:
            _log.error("the revocation list stays as it was: %s", error)
            return
        before = self.runtime.trusting.trust
        if before is None:
            return
        if found.certificate != before.certificate:
            _log.error("%s: another authority and its list are taken up at the next start", folder)
            return
        if found.number < before.number:
            _log.error(
                "%s has list %d, older than list %d, which stays", folder / "revoked.pem", found.number, before.number
            )
            return
        new = len(found.revoked - before.revoked)
        self._trusted_at = time.monotonic()
        gone = self.runtime.update_trust(found)
        _log.info(
            "%d certificates are revoked, %d of them since the list was last read",
            len(found.revoked),
            new,
            extra={"revoked": len(found.revoked), "new": new, "dropped": len(gone)},
        )

    def _take_orders(self, folder: Path, whole: bool = False) -> None:
        try:
            found = unpack_tombstones(read_file(folder / ORDERS))
        except (ConfigError, ValueError) as error:
            _log.error("the tombstones of operators stay as they were: %s: %s", folder / ORDERS, error)
            return
        bad: list[int] = []
        self.runtime.act(lambda now_ns: bad.append(self.runtime.trusting.read(found, now_ns, whole)))
        if bad[0]:
            _log.warning("%s: %d of %d tombstones of operators do not hold", folder / ORDERS, bad[0], len(found))

    def _keep_orders(self, stones: list[SignedTombstone]) -> None:
        """Write the tombstones of operators, for the next start."""
        if self.certificates is None:
            return
        try:
            replace_file(self.certificates / ORDERS, pack_tombstones(stones))
        except ConfigError as error:
            _log.info("tombstones are in memory only, until others send them again after the next start: %s", error)
        self._seen["orders"] = _signatures(self._files["orders"])

    def _keep(self, trust: Trust) -> None:
        """Write a list that came from another member, for the next start."""
        if self.certificates is None:
            return
        path = self.certificates / "revoked.pem"
        try:
            write_revocations(path, trust)
        except ConfigError as error:
            _log.info("the list is in memory only, until others send it again after the next start: %s", error)
        self._seen["trust"] = _signatures(self._files["trust"])


def flatten(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their full names.

    Examples
    --------
    >>> flatten({"node": {"seed": 1}, "a": {"b": {"c": [2]}}, "d": 3})
    {'node.seed': 1, 'a.b.c': [2], 'd': 3}
    """
    found: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _signatures(paths: list[Path]) -> list[Signature]:
    return [_signature(path) for path in paths]


def _signature(path: Path) -> Signature:
    """A value that changes when a file is written, replaced, or gets another owner or mode; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
