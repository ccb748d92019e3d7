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
        self._sent: dict[int, tuple[int, int]] = {}

    def read(self) -> tuple[int, int] | None:
        """Bytes (sent, received) so far; None where the system does not tell."""
        if sys.platform != "linux":
            return None
        for name in os.listdir("/proc/self/fd"):
            try:
                kind, _, inode = os.readlink(f"/proc/self/fd/{name}").partition(":")
                if kind != "socket":
                    continue
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
                self._sent[int(inode.strip("[]"))] = sent, received
        return sum(sent for sent, _ in self._sent.values()), sum(received for _, received in self._sent.values())
