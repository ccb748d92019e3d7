"""How nodes share now, and what somebody has changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protovine.experiments.define.config import AnyFault, RetuneFault, RunSettings


def shares(settings: RunSettings, neighbours: list[list[int]]) -> bool:
    """Whether the nodes of a system send one another anything."""
    return settings.gossip.share_probability > 0 and any(neighbours)


def tuning_at(
    settings: RunSettings | None, neighbours: list[list[int]], faults: Iterable[AnyFault], now_s: float
) -> dict[str, float | None]:
    """How the nodes of a system share at ``now_s``, after the retunes among its faults; empty if they do not share.

    A budget is None where there is no limit.
    """
    if settings is None or not shares(settings, neighbours):
        return {}
    budget = getattr(settings.exchange, "budget_bytes_per_s", None)
    tuning: dict[str, float | None] = {
        "fanout": settings.gossip.fanout,
        "share_probability": settings.gossip.share_probability,
        "budget": budget,
    }
    retunes = [fault for fault in faults if isinstance(fault, RetuneFault) and fault.at_s <= now_s]
    for fault in sorted(retunes, key=lambda fault: fault.at_s):
        changes = {"fanout": fault.fanout, "share_probability": fault.share_probability}
        if budget is not None:  # Only a log has one.
            changes["budget"] = fault.budget_bytes_per_s
        tuning |= {name: value for name, value in changes.items() if value is not None}
    return {**tuning, "budget": tuning["budget"] or None}


def tuning_words(changes: Mapping[str, float], peers_max: int) -> str:
    """Changes of how nodes share, for the log, and what they come to where a node has ``peers_max`` peers at most.

    Examples
    --------
    >>> tuning_words({"fanout": 2, "budget_bytes_per_s": 50.5}, peers_max=4)
    'set by hand: fanout = 2, budget_bytes_per_s = 50.5'
    >>> tuning_words({"fanout": 99999, "budget_bytes_per_s": 0}, peers_max=4)
    'set by hand: fanout = 99999 (all peers: at most 4), no budget'
    """
    words = []
    for name, value in changes.items():
        if name == "budget_bytes_per_s" and not value:
            words.append("no budget")
        elif name == "fanout":
            words.append(
                f"fanout = {value:.0f}" + (f" (all peers: at most {peers_max})" if 0 < peers_max < value else "")
            )
        else:
            words.append(f"{name} = {value:g}")
    return f"set by hand: {', '.join(words)}"
