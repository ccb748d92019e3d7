"""Times in messages: what other programs write, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import DataError
from protovine.net.io.times import TIME_S_MAX, UNITS, iso_ns, seconds_since, to_ns

AT_NS = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    "when",
    [
        1_700_000_000,
        1_700_000_000.0,
        1_700_000_000_000,
        1_700_000_000_000_000,
        AT_NS,
        "1700000000",
        " 1700000000.000 ",
        "1.7e9",
        "1700000000000",
        str(AT_NS),
        "2023-11-14T22:13:20Z",
        "2023-11-14t22:13:20z",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20",
        "2023-11-14 22:13:20 UTC",
        "2023-11-14T22:13:20.000000000Z",
        "2023-11-14T22:13:20,0Z",
        "20231114T221320Z",
        "2023-11-14T23:13:20+0100",
        "2023-11-14T23:13:20+01:00",
        "2023-11-14T23:13:20+01",
        "2023-11-14 23:13:20 +0100",
        "2023-11-14T23:13:20+01:00[Europe/Berlin]",
    ],
)
def test_every_usual_way_to_write_a_time_is_the_same_time(when):
    assert AT_NS == to_ns(when)


@pytest.mark.parametrize(
    ("when", "unit", "expected"),
    [
        (0, "s", 0),
        (1.5, "s", 1_500_000_000),
        (TIME_S_MAX, "s", TIME_S_MAX * 10**9),
        (1_500, "ms", 1_500_000_000),
        ("1500", "us", 1_500_000),
        (1_500, "ns", 1_500),
        ("1700000000.123456789", "auto", 1_700_000_000_123_456_789),
        (1_700_000_000_000.25, "auto", 1_700_000_000_000_250_000),
        ("2023-11-14", "auto", 1_699_920_000_000_000_000),
        ("1970-01-01T00:00:00", "iso", 0),
    ],
)
def test_a_unit_allows_times_from_1970_on(when, unit, expected):
    assert expected == to_ns(when, unit)


@pytest.mark.parametrize(
    ("when", "unit"),
    [
        (3600, "auto"),  # Since a device started.
        (0, "auto"),
        (10_000_000_000, "auto"),  # Between seconds and milliseconds.
        (10_000_000_000_000, "auto"),
        (-1, "s"),
        (1_700_000_000_000, "s"),
        (float("inf"), "auto"),
        (float("nan"), "auto"),
        ("1e999999999", "auto"),
        ("nan", "auto"),
        ("snan", "auto"),
        ("1970-01-01T00:00:10", "auto"),  # A clock that was never set.
        ("1999-12-31", "auto"),
        ("2263-01-01", "auto"),
        ("20231114", "auto"),  # A date, or a number?
        ("2023", "auto"),
        ("2023-13-01", "auto"),
        ("14.11.2023", "auto"),
        ("11/14/2023", "auto"),
        ("22:13:20", "auto"),
        ("1_700_000_000", "auto"),
        ("", "auto"),
        (1_700_000_000, "iso"),
        (True, "auto"),
        ([], "auto"),
    ],
)
def test_times_that_are_ambiguous_or_implausible_are_refused(when, unit):
    with pytest.raises(DataError, match=r"^time must be "):
        to_ns(when, unit)


@given(st.integers(946_684_800 * 10**9, TIME_S_MAX * 10**9), st.sampled_from(sorted(UNITS)))
def test_the_unit_of_a_plausible_number_is_never_taken_for_another(time_ns, unit):
    per = UNITS[unit]
    number = -(-time_ns // per)
    assert number * per == to_ns(number) == to_ns(str(number)) == to_ns(number, unit)


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2261, 12, 30)),
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from(["T", " "]),
    st.sampled_from(["{h}:{m}", "{h}{m}", " {h}{m}"]),
)
def test_zones_count(date, minutes, separator, form):
    moment = date.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    hours, rest = divmod(abs(minutes), 60)
    zone = form.format(h=("-" if minutes < 0 else "+") + f"{hours:02}", m=f"{rest:02}")
    zone = " " + zone.strip() if form.startswith(" ") else zone
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    assert expected == to_ns(date.isoformat(separator) + zone)


def test_a_zone_that_is_set_is_that_of_texts_without_one():
    berlin = ZoneInfo("Europe/Berlin")
    assert AT_NS == to_ns("2023-11-14T23:13:20", zone=berlin) == to_ns("2023-11-14T22:13:20Z", zone=berlin)


def test_seconds_since_an_origin_may_be_of_any_year():
    assert -60.0 == seconds_since(iso_ns("1965-01-01T00:01"), "1965-01-01")
    assert 0.5 == seconds_since(iso_ns("2023-11-14T22:13:19.5Z"), 1_700_000_000)
    with pytest.raises(DataError, match="between 2000 and 2262"):
        seconds_since(iso_ns("2023-11-14"), 60)
