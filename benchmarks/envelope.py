"""Costs of proving the sender of a message: bytes, and microseconds at both ends.

    python -m benchmarks.envelope

Compares tags and signatures on payloads of 60 and 1000 bytes, the whole envelope with its header and replay window, and
hellos. Candidates take turns, so that noise of the machine affects all equally; times are medians over rounds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from protovine.net import Envelope, create_authority, issue, load_member
from protovine.net.security.hello import HELLO_REFRESH_NS

ROUNDS, REPEATS = 15, 200
AT = datetime(2030, 1, 1, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * 10**9

Way = tuple[int, Callable[[], object], Callable[[], object]]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        create_authority(home / "authority", "barn", now=AT)
        for name in ("ann", "bob"):
            issue(home / "authority", name, home / name, now=AT)
        ann, bob = (Envelope(*load_member(home / name, AT), incarnation=1, schema=bytes(32)) for name in ("ann", "bob"))
        restarts = [Envelope(*load_member(home / "ann", AT), incarnation=i, schema=bytes(32)) for i in range(2, 3002)]
    ann.accept_hello(bob.hello(AT_NS), AT_NS)
    bob.accept_hello(ann.hello(AT_NS), AT_NS)
    bob.group.take_key(ann.id, ann.group.sender_key)
    print(f"{'bytes':>5} {'way':<20} {'more':>5} {'write us':>9} {'read us':>8}")
    for size in (60, 1000):
        payload = os.urandom(size)
        ways = {
            **primitives(payload),
            "the envelope": in_order(payload, lambda payload: ann.seal(bob.id, payload), bob.open),
            "a message to all": in_order(payload, ann.group.seal, bob.group.open),
        }
        for name, (more, write_us, read_us) in timed(ways).items():
            print(f"{size:>5} {name:<20} {more:>5} {write_us:>9.1f} {read_us:>8.1f}")
    # Every restart of ann signs a hello, and bob makes new keys.
    starting, hellos = iter(restarts), [each.hello(AT_NS) for each in restarts]
    arriving = iter(hellos)
    ways = {
        "hello": (
            len(hellos[0]),
            lambda: next(starting).hello(AT_NS + HELLO_REFRESH_NS),
            lambda: bob.accept_hello(next(arriving), AT_NS),
        )
    }
    ((size, write_us, read_us),) = timed(ways).values()
    print(f"a hello of {size} bytes: {write_us:.0f} us to sign, {read_us:.0f} us to accept, ", end="")
    print(f"{microseconds(lambda: bob.accept_hello(hellos[-1], AT_NS)):.0f} us if it was accepted before")


def primitives(payload: bytes) -> dict[str, Way]:
    """Only the tag or signature, without header."""
    nonce, key = os.urandom(11), os.urandom(16)
    ccm, gcm = AESCCM(key, tag_length=8), AESGCM(key)
    by_ccm, by_gcm = ccm.encrypt(nonce, payload, b"head"), gcm.encrypt(nonce + b"\0", payload, b"head")
    edwards, nist, algorithm = (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        ec.ECDSA(hashes.SHA256()),
    )
    by_edwards, by_nist = edwards.sign(payload), nist.sign(payload, algorithm)
    edwards_public, nist_public = edwards.public_key(), nist.public_key()

    def blake2() -> bytes:
        return hashlib.blake2s(payload, key=key, digest_size=8).digest()

    tag = blake2()
    return {
        "AES-128-CCM, 8": (
            len(by_ccm) - len(payload),
            lambda: ccm.encrypt(nonce, payload, b"head"),
            lambda: ccm.decrypt(nonce, by_ccm, b"head"),
        ),
        "AES-128-GCM, 16": (
            len(by_gcm) - len(payload),
            lambda: gcm.encrypt(nonce + b"\0", payload, b"head"),
            lambda: gcm.decrypt(nonce + b"\0", by_gcm, b"head"),
        ),
        "BLAKE2s, 8": (len(tag), blake2, lambda: hmac.compare_digest(tag, blake2())),
        "Ed25519": (len(by_edwards), lambda: edwards.sign(payload), lambda: edwards_public.verify(by_edwards, payload)),
        "ECDSA P-256": (
            len(by_nist),
            lambda: nist.sign(payload, algorithm),
            lambda: nist_public.verify(by_nist, payload, algorithm),
        ),
    }


def in_order(payload: bytes, seal: Callable[[bytes], bytes], read: Callable[[bytes], object]) -> Way:
    """Messages are opened in the order in which they were sealed."""
    waiting: list[bytes] = []
    unread = iter(waiting)
    return len(seal(payload)) - len(payload), lambda: waiting.append(seal(payload)), lambda: read(next(unread))


def timed(ways: dict[str, Way]) -> dict[str, tuple[int, float, float]]:
    """Bytes and medians of microseconds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (_, write, read) in ways.items():
            found[name].append((microseconds(write), microseconds(read)))
    return {
        name: (ways[name][0], *(statistics.median(each[i] for each in rounds) for i in (0, 1)))
        for name, rounds in found.items()
    }


def microseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(REPEATS):
        call()
    return (time.perf_counter() - started) / REPEATS * 1e6


if __name__ == "__main__":
    main()
