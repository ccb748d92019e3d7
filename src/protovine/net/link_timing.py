"""Periods of links, by the kind of network."""

from __future__ import annotations

from dataclasses import dataclass

from protovine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """Periods of links, in seconds.

    Parameters
    ----------
    dial_s : float
        An attempt to open a link is given up after this time. It takes some six round trips, more if packets are lost.
    lease_s : float
        A link that is silent for this long is closed.
    keep_alive_s : float
        A link that has nothing to carry is used this often.
    retry_s, retry_s_max : float
        An endpoint that does not answer is dialled again after a pause that grows from the first to the last.
    """

    dial_s: float = 3.0
    lease_s: float = 5.0
    keep_alive_s: float = 1.25
    retry_s: float = 0.3
    retry_s_max: float = 2.0

    def __post_init__(self) -> None:
        if self.lease_s < 2 * self.keep_alive_s:
            raise ConfigError(
                f"network.lease_s must be at least two network.keep_alive_s, got {self.lease_s:g} and "
                f"{self.keep_alive_s:g}"
            )
        if self.retry_s_max < self.retry_s:
            raise ConfigError(
                f"network.retry_s_max must be at least {self.retry_s:g}, the first pause, got {self.retry_s_max:g}"
            )


# By the kind of network: quick to notice everything; metered and slower; a round trip of seconds and lost packets.
PROFILES = {
    "lan": LinkTiming(),
    "cellular": LinkTiming(dial_s=20.0, lease_s=60.0, keep_alive_s=25.0, retry_s=1.0, retry_s_max=30.0),
    "satellite": LinkTiming(dial_s=90.0, lease_s=180.0, keep_alive_s=60.0, retry_s=2.0, retry_s_max=60.0),
}
