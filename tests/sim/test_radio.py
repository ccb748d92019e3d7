"""Time on the air against numbers that others have published."""

from __future__ import annotations

import pytest

from protovine.errors import ConfigError
from protovine.sim.radio import (
    LORAWAN_BYTES,
    PROFILES,
    advertisement_airtime_ns,
    lora_airtime_ns,
    ofdm_airtime_ns,
    profile,
)


@pytest.mark.parametrize(
    ("payload", "factor", "airtime_ms"),
    [
        # docs.google.com/spreadsheets/d/1eL1nHxMidIcIdDE_l-DoY3kmE2e8b0YpOBW64WnYxj8, 24 bytes.
        (24, 7, 82.176),
        (24, 8, 143.872),
        (24, 9, 267.264),
        (24, 10, 493.568),
        (24, 11, 1069.056),
        (24, 12, 1974.272),
        # docs.google.com/spreadsheets/d/1voGAtQAjC1qBmaVuP1ApNKs1ekgUjavHuVQIXyYSvNc, 13 bytes on the air.
        (0, 9, 164.864),
        # certifbus.com/en/tools/lorawan-airtime-calculator, rounded there to 370.7 ms.
        (10, 10, 370.688),
        # The largest payloads, usually given as 368.9 and 2793.5 ms.
        (222, 7, 368.896),
        (51, 12, 2793.472),
    ],
)
def test_lora_frames_last_as_published_calculators_say(payload: int, factor: int, airtime_ms: float) -> None:
    assert airtime_ms == lora_airtime_ns(payload + LORAWAN_BYTES, factor) / 1e6


def test_lora_payloads_are_those_of_the_regional_parameters() -> None:
    # LoRaWAN Regional Parameters 1.0.3, EU863-870, N of data rates 5 to 0.
    assert [222, 222, 115, 51, 51, 51] == [profile(f"lora-sf{factor}").payload_bytes_max for factor in range(7, 13)]


def test_an_advertisement_of_31_bytes_takes_376_us_on_each_channel() -> None:
    assert 3 * 376_000 == advertisement_airtime_ns(31)


@pytest.mark.parametrize(
    ("size", "rate", "airtime_us"),
    # Durations of 802.11a in the tests of ns-3 (from M. Gast, "When is 54 not equal to 54?", 2003), and of an
    # acknowledgement at the lowest rate.
    [(1536, 54, 248), (76, 54, 32), (14, 54, 24), (14, 6, 44)],
)
def test_frames_of_wifi_last_as_published(size: int, rate: float, airtime_us: int) -> None:
    assert airtime_us * 1000 == ofdm_airtime_ns(size, rate)


def test_the_longest_frame_of_ethernet_takes_123_us() -> None:
    # RFC 5180, appendix A: 8,127 frames of 1,518 bytes per second at 100 Mbit/s.
    lan = profile("lan")
    assert 8127 == 10**9 // lan.airtime_ns(lan.payload_bytes_max)


def test_no_profile_sends_more_often_than_it_may() -> None:
    for each in PROFILES.values():
        airtime_ns = each.airtime_ns(each.payload_bytes_max)
        assert each.rest_ns(airtime_ns) >= airtime_ns / each.duty_cycle
        assert each.rest_ns(airtime_ns) >= each.interval_ns
        assert each.airtime_ns(0) < airtime_ns


def test_what_no_radio_does_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"spreading_factor must be between 7 and 12, got 6"):
        lora_airtime_ns(20, 6)
    with pytest.raises(ConfigError, match=r"unknown medium 'lora-sf13' .did you mean 'lora-sf1"):
        profile("lora-sf13")
