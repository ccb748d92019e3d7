"""The Zenoh library, which is imported when it is needed."""

from __future__ import annotations

import re
from typing import Any

from protovine.errors import ConfigError
from protovine.gossip import MESSAGE_BYTES_MAX
from protovine.net.security.group import GROUP_OVERHEAD_BYTES_MAX

# The longest sealed message, and what Zenoh writes around it. It comes in fragments, which could otherwise pile up to
# 1 GiB before the first is delivered.
WIRE_BYTES_MAX = MESSAGE_BYTES_MAX + GROUP_OVERHEAD_BYTES_MAX + 1024


def zenoh_module() -> Any:
    """The Zenoh library; `ConfigError` that says what to install if it is missing."""
    try:
        import zenoh
    except ImportError:
        raise ConfigError("a real network needs Zenoh: pip install 'protovine[net]'") from None
    return zenoh


def first_line(error: BaseException) -> str:
    """The first line of an error, without positions in a library's source."""
    return re.sub(r"\.? at /[^ \]]*", "", str(error).partition("\n")[0])
