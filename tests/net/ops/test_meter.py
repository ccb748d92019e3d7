"""Bytes through the sockets of this process, also those that are closed by now."""

from __future__ import annotations

import contextlib
import socket
import sys

import pytest

from protovine.net.ops import meter
from protovine.net.ops.meter import SocketMeter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts")


def send(data: bytes, while_open: SocketMeter, server: socket.socket) -> None:
    with contextlib.closing(socket.create_connection(server.getsockname())) as client:
        other, _ = server.accept()
        with contextlib.closing(other):
            client.sendall(data)
            assert len(data) == len(other.recv(len(data), socket.MSG_WAITALL))
            while_open.read()


def test_closed_sockets_stay_counted_and_take_no_memory() -> None:
    """Each scrape of a node's metrics comes over a socket of its own, for years."""
    counts = SocketMeter()
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = counts.read()
        assert before is not None
        held = len(counts._open)
        for size in range(1, 51):
            send(bytes(size), counts, server)
        after = counts.read()
    assert after is not None
    total = sum(range(1, 51))
    assert (total, total) == (after[0] - before[0], after[1] - before[1])
    assert len(counts._open) == held


def test_a_number_that_is_used_again_is_another_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, found, total = SocketMeter(), [""], None
    monkeypatch.setattr(meter.os, "readlink", lambda path: "socket:[7]" if path == found[0] else "pipe:[8]")
    with socket.create_server(("127.0.0.1", 0)) as server:
        for size in (500, 300, 20):
            with contextlib.closing(socket.create_connection(server.getsockname())) as client:
                other, _ = server.accept()
                with contextlib.closing(other):
                    client.sendall(bytes(size))
                    other.recv(size, socket.MSG_WAITALL)
                    found[0] = f"/proc/self/fd/{client.fileno()}"
                    total = counts.read()
    assert total is not None and total[0] == 820
