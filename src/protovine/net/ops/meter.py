"""Bytes through the TCP sockets of this process, as the kernel counts them."""

from __future__ import annotations

import os
import socket
import struct
import sys

# Where the 64-bit counters stand in Linux's `struct tcp_info` (include/uapi/linux/tcp.h).
_BYTES_RECEIVED_AT, _SEGMENTS_AT, _BYTES_SENT_AT, _INFO_BYTES = 128, 136, 200, 232
# IP, TCP and its timestamps; with IPv6.
_HEADER_BYTES, _HEADER_BYTES_6 = 52, 72


class SocketMeter:
    """Sums over all TCP sockets of the process that were there at some `read`, closed ones with their last count.

    They include TLS and retransmissions. Only Linux has these counts.

    Parameters
    ----------
    headers : bool
        Count the headers of TCP and IP, too, those of empty acknowledgements as well.
    """

    def __init__(self, headers: bool = False) -> None:
        self.headers = headers
        # Sent and received by each socket that was there at the last `read`, and by all that were there before.
        self._open: dict[int, tuple[int, int]] = {}
        self._gone = (0, 0)

    def read(self) -> tuple[int, int] | None:
        """Bytes (sent, received) so far; None where the system does not tell."""
        if sys.platform != "linux":
            return None
        found: dict[int, tuple[int, int]] = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                kind, _, inode = os.readlink(f"/proc/self/fd/{name}").partition(":")
                if kind != "socket":
                    continue
                number = int(inode.strip("[]"))
                if number in self._open:
                    found[number] = self._open[number]  # Should it not tell this time.
                with socket.socket(fileno=os.dup(int(name))) as one:
                    if one.type != socket.SOCK_STREAM or one.family not in (socket.AF_INET, socket.AF_INET6):
                        continue
                    header = _HEADER_BYTES if one.family == socket.AF_INET else _HEADER_BYTES_6
                    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            except OSError:
                continue  # It was closed meanwhile.
            if len(info) >= _INFO_BYTES:
                (sent,) = struct.unpack_from("=Q", info, _BYTES_SENT_AT)
                (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)
                if self.headers:
                    out, into = struct.unpack_from("=II", info, _SEGMENTS_AT)
                    sent, received = sent + header * out, received + header * into
                found[number] = sent, received
        for number, (sent, received) in self._open.items():
            now = found.get(number)
            # Numbers are used again, for a socket that has counted less.
            if now is None or now[0] < sent or now[1] < received:
                self._gone = self._gone[0] + sent, self._gone[1] + received
        self._open = found
        return (
            self._gone[0] + sum(sent for sent, _ in found.values()),
            self._gone[1] + sum(received for _, received in found.values()),
        )
