"""The part of PromQL that the alert rules need, with the rules of Prometheus for matching and for counters."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
# A series is found again for this long after its last sample.
_LOOKBACK_S = 300.0
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TOKEN = re.compile(r'\s*("[^"]*"|[A-Za-z_:][\w:]*|[\d.]+[smhd]?|=~|!~|!=|==|>=|<=|[-+*/<>=(){}\[\],])')
_COMPARE = {"==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge}
_COMPARE["<="] = operator.le
_SUM: dict[str, Callable[[float, float], float]] = {"+": operator.add, "-": operator.sub}
_PRODUCT: dict[str, Callable[[float, float], float]] = {"*": operator.mul, "/": operator.truediv}


@dataclass
class Prometheus:
    """Scrapes of one target, and what rules say of them."""

    scrapes: list[tuple[float, dict[tuple[str, Labels], float]]] = field(default_factory=list)

    def scrape(self, at_s: float, text: str | None) -> None:
        """Take a page of metrics at a time; None if the target did not answer."""
        up = ("up", frozenset({("job", "protovine")}))
        found = {up: float(text is not None)}
        for family in text_string_to_metric_families(text or ""):
            for each in family.samples:
                found[each.name, frozenset(each.labels.items())] = each.value
        self.scrapes.append((at_s, found))

    def query(self, expression: str, at_s: float) -> Vector | float:
        """The value of an expression at a time."""
        return _Query(self, expression, at_s).value()

    def fires(self, rule: dict[str, Any]) -> bool:
        """Whether an alert fires at the last scrape: its expression has had a result for as long as the rule says."""
        wanted_s, last_s = seconds(rule.get("for", "0s")), self.scrapes[-1][0]
        times = [at_s for at_s, _ in self.scrapes if at_s >= last_s - wanted_s]
        long_enough = self.scrapes[0][0] <= last_s - wanted_s
        found = [self.query(rule["expr"], at_s) for at_s in times]
        assert all(isinstance(each, dict) for each in found), "an alert's expression is a vector"
        held = set.intersection(*(set(each) for each in found if isinstance(each, dict)))
        return long_enough and bool(held)

    def points(self, name: str, matches: Callable[[Labels], bool], from_s: float, to_s: float) -> dict[Labels, list]:
        """The samples of all series of a name in a time that is open at its beginning."""
        series: dict[Labels, list[tuple[float, float]]] = {}
        for at_s, found in self.scrapes:
            if from_s < at_s <= to_s:
                for (known, labels), value in found.items():
                    if known == name and matches(labels):
                        series.setdefault(labels, []).append((at_s, value))
        return series


def seconds(text: str) -> float:
    return float(text[:-1]) * _UNITS_S[text[-1]]


class _Query:
    def __init__(self, prometheus: Prometheus, expression: str, at_s: float) -> None:
        self.prometheus, self.at_s = prometheus, at_s
        self.tokens: list[str] = []
        place = 0
        while place < len(expression.rstrip()):
            found = _TOKEN.match(expression, place)
            assert found, f"not understood: {expression[place:]}"
            self.tokens.append(found[1])
            place = found.end()

    def value(self) -> Vector | float:
        value = self._comparison()
        assert not self.tokens, f"not understood: {self.tokens}"
        return value

    def _peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _take(self, wanted: str = "") -> str:
        token = self.tokens.pop(0)
        assert wanted in ("", token), f"expected {wanted}, got {token}"
        return token

    def _comparison(self) -> Vector | float:
        left = self._binary(_SUM, lambda: self._binary(_PRODUCT, self._atom))
        if self._peek() not in _COMPARE:
            return left
        compare, ignored = _COMPARE[self._take()], frozenset[str]()
        if self._peek() == "ignoring":
            self._take()
            self._take("(")
            ignored = frozenset(self._names())
        right = self._binary(_SUM, lambda: self._binary(_PRODUCT, self._atom))
        return _matched(left, right, ignored, lambda a, b: a if compare(a, b) else None)

    def _names(self) -> list[str]:
        names = [self._take()]
        while self._take() == ",":
            names.append(self._take())
        return names

    def _binary(self, operators: dict[str, Callable[[float, float], float]], part: Callable[[], Any]) -> Vector | float:
        value = part()
        while self._peek() in operators:
            apply = operators[self._take()]
            value = _matched(value, part(), frozenset(), apply)
        return value

    def _atom(self) -> Vector | float:
        token = self._take()
        if token == "(":
            value = self._comparison()
            self._take(")")
            return value
        if token[0].isdigit():
            return float(token)
        if token == "time":
            self._take("(")
            self._take(")")
            return self.at_s
        if token in ("increase", "rate"):
            self._take("(")
            value = self._increase(per_s=token == "rate")
            self._take(")")
            return value
        series = self.prometheus.points(token, self._matcher(), self.at_s - _LOOKBACK_S, self.at_s)
        last_s = max((at_s for at_s, _ in self.prometheus.scrapes if at_s <= self.at_s), default=0.0)
        # A series that the last scrape did not have is stale at once.
        return {labels: points[-1][1] for labels, points in series.items() if points[-1][0] == last_s}

    def _increase(self, per_s: bool) -> Vector:
        name, matcher = self._take(), self._matcher()
        self._take("[")
        span_s = seconds(self._take())
        self._take("]")
        found: Vector = {}
        for labels, points in self.prometheus.points(name, matcher, self.at_s - span_s, self.at_s).items():
            if len(points) < 2:  # With one sample nothing is known to have grown.
                continue
            grown = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(points))
            found[labels] = grown / span_s if per_s else grown
        return found

    def _matcher(self) -> Callable[[Labels], bool]:
        wanted: list[tuple[str, str, str]] = []
        if self._peek() == "{":
            self._take()
            while self._peek() != "}":
                wanted.append((self._take(), self._take(), self._take().strip('"')))
                if self._peek() == ",":
                    self._take()
            self._take("}")

        def matches(labels: Labels) -> bool:
            of = dict(labels)
            for name, how, value in wanted:
                same = of.get(name, "") == value if how in ("=", "!=") else re.fullmatch(value, of.get(name, ""))
                if bool(same) is how.startswith("!"):
                    return False
            return True

        return matches


def _matched(
    left: Vector | float, right: Vector | float, ignored: frozenset[str], apply: Callable[[float, float], float | None]
) -> Vector | float:
    """One to one by equal labels, as Prometheus does without `on` and `group_left`."""
    if isinstance(left, float) and isinstance(right, float):
        value = apply(left, right)
        assert value is not None
        return value
    if isinstance(left, float) or isinstance(right, float):
        vector = left if isinstance(left, dict) else right
        assert isinstance(vector, dict)
        pairs = {key: apply(left if isinstance(left, float) else value, right if isinstance(right, float) else value)
                 for key, value in vector.items()}  # fmt: skip
        return {key: value for key, value in pairs.items() if value is not None}

    def key(labels: Labels) -> Labels:
        return frozenset(pair for pair in labels if pair[0] not in ignored)

    others = {key(labels): value for labels, value in right.items()}
    found = {labels: apply(value, others[key(labels)]) for labels, value in left.items() if key(labels) in others}
    return {labels: value for labels, value in found.items() if value is not None}
