"""Named media: how long a frame is on the air, how much it carries, and how often a device may send.

Airtime follows published formulas; each function names its source. A profile stands for one channel that all nodes
share, without a base station: LoRa's numbers are those of LoRaWAN in Europe, sent from device to device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from protovine.errors import ConfigError, check_range, suggest
from protovine.records import SECOND_NS

_US_NS, _MS_NS = 1_000, 1_000_000
# LoRaWAN's header around an application payload: MHDR 1, FHDR 7, FPort 1, MIC 4.
LORAWAN_BYTES = 13
# Largest application payloads by spreading factor: EU863-870, data rates 5 to 0, repeater compatible, no FOpt.
_LORA_PAYLOADS = {7: 222, 8: 222, 9: 115, 10: 51, 11: 51, 12: 51}
_LORA_SYNC_SYMBOLS = 4.25
_LONG_SYMBOL_NS = 16 * _MS_NS  # From this length of a symbol on, the low data rate optimisation is on.
EU868_DUTY_CYCLE = 0.01
# An advertisement: preamble 1, access address 4, header 2, address 6, CRC 3, at 8 µs per byte, on three channels.
_BLE_FRAME_BYTES, _BLE_BYTE_NS, _BLE_CHANNELS = 16, 8 * _US_NS, 3
# Length, type and company of the manufacturer's data in which a payload travels.
_BLE_FIELD_BYTES = 4
_BLE_POINTER_BYTES = 17  # ADV_EXT_IND with its extended header (ADI, AuxPtr), preamble and CRC.
_BLE_AUXILIARY_BYTES = 20  # AUX_ADV_IND around its data: as an advertisement, with a header of 4 bytes more.
_BLE_PDU_BYTES = 255
# LLC 8, IPv4 20 and UDP 8 around a payload; MAC header 24 and FCS 4 around those on Wi-Fi.
_UDP_BYTES, _LLC_BYTES, _WIFI_MAC_BYTES, _MTU_BYTES = 28, 8, 28, 1500
_ETHERNET_BYTES, _ETHERNET_BYTES_MIN = 38, 84  # Preamble 8, header 14, FCS 4, gap 12; the shortest frame with its gap.


def lora_airtime_ns(
    frame_bytes: int,
    spreading_factor: int,
    *,
    bandwidth_hz: int = 125_000,
    coding_rate: int = 1,
    preamble: int = 8,
    low_rate: bool | None = None,
) -> int:
    """Time on air of a LoRa frame with explicit header and CRC.

    Semtech's formula (AN1200.13, "LoRa Modem Designer's Guide"; SX1276 data sheet, 4.1.1.7).

    Parameters
    ----------
    frame_bytes : int in [0, 255]
        All bytes of the frame, LoRaWAN's 13 included.
    spreading_factor : int in [7, 12]
    bandwidth_hz : int
    coding_rate : int in [1, 4]
        1 is 4/5, 4 is 4/8.
    preamble : int
        Symbols of the preamble.
    low_rate : bool, optional
        The low data rate optimisation; by default on where a symbol takes at least 16 ms.

    Raises
    ------
    ConfigError
        A number is out of range.

    Examples
    --------
    >>> lora_airtime_ns(24 + LORAWAN_BYTES, 7) / 1e6, lora_airtime_ns(13, 9) / 1e6
    (82.176, 164.864)
    """
    check_range("frame_bytes", frame_bytes, 0, 255)
    check_range("spreading_factor", spreading_factor, 7, 12)
    check_range("coding_rate", coding_rate, 1, 4)
    symbol_ns = (1 << spreading_factor) * SECOND_NS / bandwidth_hz
    low = symbol_ns >= _LONG_SYMBOL_NS if low_rate is None else low_rate
    bits = 8 * frame_bytes - 4 * spreading_factor + 28 + 16
    blocks = max(0, math.ceil(bits / (4 * (spreading_factor - 2 * low))))
    symbols: float = preamble + _LORA_SYNC_SYMBOLS + 8 + blocks * (coding_rate + 4)
    return round(symbols * symbol_ns)


def advertisement_airtime_ns(data_bytes: int) -> int:
    """Time on air of one legacy advertisement, ADV_NONCONN_IND at 1 Mbit/s, on its three channels together.

    Bluetooth Core Specification 5.4, Vol 6, Part B, 2.1 and 2.3: at most 31 bytes of data, and 376 µs per channel.

    Examples
    --------
    >>> advertisement_airtime_ns(31) / 3 / 1e3
    376.0
    """
    check_range("data_bytes", data_bytes, 0, 31)
    return _BLE_CHANNELS * (_BLE_FRAME_BYTES + data_bytes) * _BLE_BYTE_NS


def extended_advertisement_airtime_ns(data_bytes: int) -> int:
    """Time on air of one extended advertisement at 1 Mbit/s: a pointer on three channels, and one frame of data.

    Bluetooth Core Specification 5.4, Vol 6, Part B, 2.3.4: a PDU of 255 bytes holds 245 bytes of data beside the
    advertiser's address and the set's number (254 beside nothing).

    Examples
    --------
    >>> extended_advertisement_airtime_ns(245) / 1e3
    2528.0
    """
    check_range("data_bytes", data_bytes, 0, 245)
    return (_BLE_CHANNELS * _BLE_POINTER_BYTES + _BLE_AUXILIARY_BYTES + data_bytes) * _BLE_BYTE_NS


def ofdm_airtime_ns(frame_bytes: int, mbit_per_s: float = 6.0) -> int:
    """Time on air of an OFDM frame of Wi-Fi (20 MHz): 20 µs of preamble and signal, and symbols of 4 µs.

    IEEE Std 802.11-2020, 17.4.3 (TXTIME). ``frame_bytes`` counts everything from the MAC header to the FCS.

    Examples
    --------
    >>> ofdm_airtime_ns(14) / 1e3, ofdm_airtime_ns(1536, 54) / 1e3  # An acknowledgement, and a long frame.
    (44.0, 248.0)
    """
    check_range("frame_bytes", frame_bytes, 0)
    return (20 + 4 * math.ceil((16 + 6 + 8 * frame_bytes) / (4 * mbit_per_s))) * _US_NS


@dataclass(frozen=True, slots=True)
class Profile:
    """A medium that all nodes in range of each other share.

    Parameters
    ----------
    name, about : str
    payload_bytes_max : int
        Largest payload of one frame.
    airtime_ns : callable (payload bytes) -> int
        How long a frame with this payload occupies the medium.
    listens : bool
        Whether a device waits until the medium is free where it is (CSMA). Others send at once (ALOHA).
    access_ns : int
        Silence before a frame of a device that listens: on average, the back-off included.
    duty_cycle : float in (0, 1]
        Largest part of its time that a device may send.
    interval_ns, jitter_ns : int
        A device starts a frame this long after its last one, plus a random time up to the jitter.
    """

    name: str
    about: str
    payload_bytes_max: int
    airtime_ns: Callable[[int], int]
    listens: bool = False
    access_ns: int = 0
    duty_cycle: float = 1.0
    interval_ns: int = 0
    jitter_ns: int = 0

    def rest_ns(self, airtime_ns: int) -> int:
        """Time from the start of a frame to the earliest start of the same device's next one, without jitter."""
        return max(airtime_ns, math.ceil(airtime_ns / self.duty_cycle), self.interval_ns)

    @property
    def limits_devices(self) -> bool:
        """Whether a device may send only now and then, even alone."""
        return self.duty_cycle < 1 or self.interval_ns > 0

    @property
    def bytes_per_s(self) -> float:
        """Payload bytes per second that one device can send for ever, alone, in full frames."""
        airtime_ns = self.airtime_ns(self.payload_bytes_max)
        spent_ns = max(self.rest_ns(airtime_ns) + self.jitter_ns / 2, airtime_ns + self.access_ns)
        return self.payload_bytes_max * SECOND_NS / spent_ns


def _lora(payload_bytes: int, spreading_factor: int) -> int:
    return lora_airtime_ns(payload_bytes + LORAWAN_BYTES, spreading_factor)


def _ethernet(payload_bytes: int) -> int:
    """A frame at 100 Mbit/s, 80 ns per byte, with preamble and gap: IEEE Std 802.3."""
    return 80 * max(_ETHERNET_BYTES_MIN, payload_bytes + _UDP_BYTES + _ETHERNET_BYTES)


PROFILES = {
    made.name: made
    for made in (
        Profile("lan", "multicast on Ethernet, 100 Mbit/s", _MTU_BYTES - _UDP_BYTES, _ethernet, listens=True),
        Profile(
            "wifi",
            "multicast on Wi-Fi at the basic rate of 6 Mbit/s; nobody acknowledges it",
            _MTU_BYTES - _UDP_BYTES,
            lambda size: ofdm_airtime_ns(size + _UDP_BYTES + _LLC_BYTES + _WIFI_MAC_BYTES),
            listens=True,
            # DIFS, and the mean of the first back-off: 7.5 slots of 9 µs.
            access_ns=34 * _US_NS + round(7.5 * 9 * _US_NS),
        ),
        Profile(
            "ble-legacy",
            "Bluetooth advertisements of 31 bytes every 20 to 30 ms",
            31 - _BLE_FIELD_BYTES,
            lambda size: advertisement_airtime_ns(size + _BLE_FIELD_BYTES),
            interval_ns=20 * _MS_NS,
            jitter_ns=10 * _MS_NS,
        ),
        Profile(
            "ble-extended",
            "extended Bluetooth advertisements every 20 to 30 ms",
            _BLE_PDU_BYTES - 10 - _BLE_FIELD_BYTES,
            lambda size: extended_advertisement_airtime_ns(size + _BLE_FIELD_BYTES),
            interval_ns=20 * _MS_NS,
            jitter_ns=10 * _MS_NS,
        ),
        *(
            Profile(
                f"lora-sf{factor}",
                f"LoRa in Europe (EU868), 125 kHz, spreading factor {factor}, duty cycle 1 %",
                payload,
                partial(_lora, spreading_factor=factor),
                duty_cycle=EU868_DUTY_CYCLE,
            )
            for factor, payload in _LORA_PAYLOADS.items()
        ),
    )
}


def profile(name: str) -> Profile:
    """The profile called ``name``; `ConfigError` with the nearest name if there is none.

    Examples
    --------
    >>> round(profile("lora-sf7").bytes_per_s, 1), round(profile("lora-sf12").bytes_per_s, 2)
    (6.0, 0.18)
    """
    if name not in PROFILES:
        raise ConfigError(f"unknown medium '{name}'{suggest(name, PROFILES)}")
    return PROFILES[name]
