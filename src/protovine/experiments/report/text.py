"""Names, numbers and settings as the words of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from protovine.experiments.run.result import METRICS, Interval, Result

# Smaller differences between numbers of a run are those of rounding: times are whole nanoseconds.
_NOTHING = 1e-9


def metric_label(metric: str) -> str:
    """The name of a metric with its unit.

    Examples
    --------
    >>> metric_label("f1"), metric_label("bytes_per_node_per_s")
    ('F1', 'traffic per node [B/s]')
    """
    title, unit, _ = METRICS[metric]
    return f"{title} [{unit}]" if unit else title


def f1_name(result: Result) -> str:
    """F1 of the positive class, or the macro average if there are more than two classes."""
    return "F1" if len(result.data.get("classes", ())) <= 2 else "F1, macro"


def f1_rule(result: Result) -> str:
    """Which F1 the tables show, in one sentence; empty for results that do not say which class was positive."""
    data = result.data
    if len(data.get("classes", ())) > 2:
        return "F1 is the macro average over the classes of a node, averaged over nodes."
    if data.get("positive") is None:
        return ""
    return (
        f"F1 is that of class {data['positive']} (the last in sorted order, unless data.positive names the other), "
        "averaged over nodes."
    )


def formatted(interval: Interval | None, metric: str, signed: bool = False) -> str:
    """An interval with the metric's decimals, or more if these would hide it; a dash where it is not defined.

    Examples
    --------
    >>> formatted(Interval(0.8124, 0.0101), "f1"), formatted(Interval(0.02, None), "f1", signed=True)
    ('0.812 ± 0.010', '+0.020')
    >>> formatted(Interval(0.1346, 0.0025), "bytes_per_node_per_s")
    '0.135 ± 0.003'
    >>> [formatted(Interval(mean, 3.0), "messages", signed=True) for mean in (0.4, 0.01)]  # Differences.
    ['+0.4 ± 3.0', '0.0 ± 3.0']
    """
    if interval is None:
        return "–"
    if not interval.mean and not interval.half:
        return "0"
    decimals = decimals_shown(interval.mean, interval.half, METRICS[metric][2])
    if signed and abs(interval.mean) > _NOTHING and not round(interval.mean, decimals):
        decimals += 1  # Between 22 and 23 is no "+0".
    mean = round(interval.mean, decimals) + 0.0  # A rounded -0.2 would be -0.
    text = f"{mean:{'+' if signed and mean else ''},.{decimals}f}"
    return text if interval.half is None else f"{text} ± {interval.half:,.{decimals}f}"


def decimals_shown(mean: float, half: float | None, decimals: int) -> int:
    """The decimals of a number and of half its interval: at least ``decimals``, more where small values need them.

    The interval keeps one significant digit. A number without one keeps two; one, if ``decimals`` are 3 or more.

    Examples
    --------
    >>> [decimals_shown(mean, half, 0) for mean, half in ((68.8, 2.1), (0.1346, 0.0025), (0.1346, None), (3.0, None))]
    [0, 3, 2, 0]
    """
    size, digits = abs(mean), 1 if decimals >= 3 else 2
    if half is not None and half > _NOTHING * max(1.0, size):
        size, digits = half, 1
    if not _NOTHING < size < math.inf or float(size).is_integer():
        return decimals
    return max(decimals, digits - 1 - math.floor(math.log10(size)))


def excludes_zero(difference: Interval | None) -> bool:
    """Whether there is an interval, and 0 is not in it.

    Examples
    --------
    >>> excludes_zero(Interval(0.2, 0.1)), excludes_zero(Interval(0.2, 0.3)), excludes_zero(Interval(0.2, None))
    (True, False, False)
    """
    return difference is not None and difference.half is not None and abs(difference.mean) > difference.half


def p_value(p: float | None) -> str:
    """A p value as text.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9), p_value(None)
    ('p = 0.0312', 'p < 0.0001', 'p is not defined, as nothing differs')
    """
    return "p is not defined, as nothing differs" if p is None else "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def counted(n: int, noun: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> counted(1, "seed"), counted(1200, "seed")
    ('1 seed', '1,200 seeds')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Names as words of a sentence.

    Examples
    --------
    >>> listed(["default"]), listed(["default", "isolated", "server"])
    ('default', 'default, isolated and server')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def left_out(presets: Sequence[str], shown: Iterable[str], why: str) -> str:
    """A sentence, after a blank, that names the presets that a figure does not show; empty if it shows all.

    Examples
    --------
    >>> left_out(["default", "isolated"], ["default"], "sent nothing")
    ' Left out, because they sent nothing: isolated.'
    """
    missing = [preset for preset in presets if preset not in set(shown)]
    return f" Left out, because they {why}: {', '.join(missing)}." if missing else ""


def size(n_bytes: float) -> str:
    """A number of bytes with its unit.

    Examples
    --------
    >>> size(812), size(1530)
    ('812 B', '1.5 kB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"


def flat(tables: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as dotted keys with the text of their values.

    Examples
    --------
    >>> flat({"link": {"loss": 0.1, "delay_s": 0.5}, "faults": []})
    {'link.loss': '0.1', 'link.delay_s': '0.5', 'faults': 'none'}
    """
    out: dict[str, str] = {}
    for key, value in tables.items():
        if isinstance(value, dict) and value:
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = "none" if value in ([], {}, None, ()) else str(value)
    return out
