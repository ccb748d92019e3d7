"""A runtime's counts as Prometheus metrics.

There are two steps, because a runtime belongs to its event loop and scrapes come in other threads: `read` copies the
numbers in the loop, which takes some 0.1 ms; `RuntimeCollector` makes metrics of them in any thread. Nothing is
registered globally.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate, islice

from protovine.errors import ConfigError
from protovine.net.ops.latency import BOUNDS_S
from protovine.net.ops.meter import SocketMeter
from protovine.net.runtime import Runtime
from protovine.net.tally import PeerGroup, PeerKey, in_order
from protovine.records import SECOND_NS

try:
    from prometheus_client import CollectorRegistry, Metric, ProcessCollector
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
    from prometheus_client.registry import Collector
except ImportError:
    raise ConfigError("metrics need the Prometheus client: pip install 'protovine[net]'") from None

# Reasons of refusals that alerts are about.
_AWAITED = ("forged", "impostor", "overrun", "revoked", "signature")
_OUTCOMES = ("done", "node", "operator", "replay", "token")
# Without certificates any process can invent members: those met after this many share one label.
PEERS_MAX = 256
OTHERS = "(others)"


Counts = dict[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Reading:
    """A runtime's numbers at one moment. Peers stand in it by name."""

    info: dict[str, str]
    traffic: dict[str, Counts]
    labelled: dict[str, Counts]
    values: dict[str, float]
    durations: dict[str, tuple[list[int], float]]


# Kind and help of every metric without labels; a reading has some or all of them.
_VALUES: dict[str, tuple[str, str]] = {
    "incarnation": ("gauge", "Number of this start of the node."),
    "start_time_seconds": ("gauge", "When the runtime started, in seconds since 1970."),
    "samples": ("counter", "Local samples taken from the source."),
    "samples_refused": ("counter", "Local samples or labels that the learner cannot take."),
    "labels": ("counter", "Labels that came later than their samples and were learnt."),
    "unknown_labels": ("counter", "Late labels of samples that are not, or no longer, awaited."),
    "labels_given_up": ("counter", "Samples whose label is awaited no longer, because too many wait or for too long."),
    "judged": ("counter", "Predictions whose true class became known."),
    "right": ("counter", "Predictions that were right."),
    "prototypes": ("gauge", "Prototypes in the learner."),
    "inbox_prototypes": ("gauge", "Received prototypes that wait to be trained."),
    "inbox_dropped": ("counter", "Received prototypes that were dropped because too many waited to be trained."),
    "awaiting_labels": ("gauge", "Samples whose label has not come."),
    "inbound_queue_messages": ("gauge", "Messages that have arrived and wait to be read."),
    "inbound_queue_bytes": ("gauge", "Bytes that have arrived and wait to be read."),
    "peers_met": ("gauge", "Members that have said hello and are trusted."),
    "peers_alive": ("gauge", "Of these, members with a link or a message since the last link was lost."),
    "bugs": ("counter", "Messages left out because of a bug in this node."),
    "snapshots": ("counter", "Snapshots saved."),
    "snapshot_failures": ("counter", "Snapshots that could not be saved, as on a full disk."),
    "snapshot_age_seconds": ("gauge", "Time since the last snapshot of this start; missing before the first."),
    "stands_by": ("gauge", "1 while the node stands by, because a later start of its name is known."),
    "name_shared": (
        "gauge",
        "1 if another process with this node's name and certificate was heard in the last minute.",
    ),
    "clock_jumps": ("counter", "Times that the system's clock was set by 5 s or more."),
    "network_reopened": ("counter", "Times that the network was opened again because peers could not be heard."),
    "loop_lag_seconds": ("gauge", "How late the event loop was when it last looked at the clock."),
    "certificate_expiry_timestamp_seconds": ("gauge", "When the node's certificate ends, in seconds since 1970."),
    "revoked": ("gauge", "1 if the node's own certificate was revoked."),
    "revoked_certificates": ("gauge", "Certificates on the revocation list."),
    "revocation_list_timestamp_seconds": ("gauge", "When the authority signed the list; what is newest is in force."),
    "sharing_paused": ("gauge", "1 while an operator lets the node share nothing."),
    "links_cut": ("gauge", "Members to which an operator has cut the link."),
    "tombstones": (
        "gauge",
        "Tombstones of the authority and operators: whose items of which time all forget.",
    ),
    "tombstones_applied": ("counter", "Tombstones whose items this start has forgotten."),
    "source_connected": (
        "gauge",
        "1 while messages can come: the file is open, the broker or the network there. None after its end.",
    ),
    "source_sample_age_seconds": ("gauge", "Time since the last local sample; missing before the first."),
    "sink_connected": ("gauge", "1 while predictions can leave. None after the end of the source."),
    "source_dropped": ("counter", "Messages of the source that came faster than they were taken, and were lost."),
    "sink_dropped": ("counter", "Predictions that could not be written as fast as they came, and were lost."),
}
# Kind, help and labels of those with labels, but for traffic.
_LABELLED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "refused": ("counter", "Messages refused, by sender and reason.", ("peer", "reason")),
    "from_future": ("counter", "Messages made in the future by this node's clock.", ("peer",)),
    "forgotten_items": ("counter", "Items refused because they are to be forgotten, by sender.", ("peer",)),
    "view_age_seconds": ("gauge", "Age of the newest message accepted from a peer, by both clocks.", ("peer",)),
    "peer_alive": ("gauge", "1 if there is a link to the peer, or it was heard since one was lost.", ("peer",)),
    "accuracy": ("gauge", "Fraction of right predictions: of the newest 1,000 judged, or of all (total).", ("window",)),
    "commands": ("counter", "Commands of operators, by what came of them: done, or why not.", ("outcome",)),
    "drift_alarms": ("counter", "Drifts of this node's own stream, by what has changed.", ("kind",)),
    "drift_warnings": ("counter", "Drifts that peers say they saw, by sender and what has changed.", ("peer", "kind")),
    "source_refused": ("counter", "Messages of the source that were refused, by reason.", ("reason",)),
    "socket_bytes": (
        "counter",
        "Bytes through all TCP sockets of the process, with TLS, retransmissions and headers of TCP and IP.",
        ("direction",),
    ),
    "input_causes": (
        "counter",
        "Messages, samples and labels that could not be used, by cause.",
        ("reason", "field", "topic"),
    ),
}
_DURATIONS = {
    "share_latency": "Time from a peer's making of a message to its use here, by both clocks.",
    "prediction": "Time that the node takes to predict and learn a local sample.",
}
_TRAFFIC = {
    "messages_sent": "Messages handed to the transport, by recipient and kind.",
    "bytes_sent": "Their bytes, sealed, without the transport's framing.",
    "messages_received": "Messages that opened, by sender and kind.",
    "bytes_received": "Their bytes, sealed, without the transport's framing.",
}


def read(runtime: Runtime, *, lag_s: float | None = None, meter: SocketMeter | None = None) -> Reading:
    """A copy of the counts of ``runtime``. Call it in the runtime's event loop."""
    tally, node, now_ns, steady_ns = runtime.tally, runtime.node, runtime.shows_ns, runtime.clock.steady()
    names, source, sink = tally.names, runtime.source, runtime.sink
    named = dict(islice(names.items(), PEERS_MAX))

    def name_of(peer: PeerKey) -> str:
        if isinstance(peer, PeerGroup):
            return peer.value
        return named.get(peer) or (OTHERS if peer in names else PeerGroup.UNKNOWN.value)

    def by_name(counts: Mapping[tuple[PeerKey, str], int]) -> Counts:
        # Without certificates two members may have one name, but a metric may not appear twice.
        summed: Counts = {}
        for (peer, word), count in in_order(counts):
            key = name_of(peer), word
            summed[key] = summed.get(key, 0) + count
        return summed

    ages_s: Counts = {}
    alive: Counts = {}
    from_future: Counts = {}
    peers_alive, views = runtime.roster.alive, node.views
    for peer in sorted(runtime.roster.peers):
        key = (name_of(peer),)
        alive[key] = max(alive.get(key, 0), peer in peers_alive)
        view = views.get(peer)
        if view is not None and view.created_ns:
            ages_s[key] = max(ages_s.get(key, 0.0), (now_ns - view.created_ns) / SECOND_NS)
    for peer, count in sorted(tally.from_future.items()):
        key = (name_of(peer),)
        from_future[key] = from_future.get(key, 0) + count
    forgotten: Counts = {}
    for peer, count in sorted(node.exchange.forgotten.refused.items()):
        key = (name_of(peer),)
        forgotten[key] = forgotten.get(key, 0) + count
    labelled: dict[str, Counts] = {
        # Prometheus cannot tell a counter that begins above 0 from one that stays, so what alerts count begins at 0.
        "refused": {(PeerGroup.UNKNOWN.value, reason): 0 for reason in _AWAITED} | by_name(tally.refused),
        "from_future": from_future,
        "forgotten_items": forgotten,
        "view_age_seconds": ages_s,
        "peer_alive": alive,
        "drift_alarms": {(kind,): count for kind, count in sorted(node.drift_alarms.items())},
        "drift_warnings": by_name({(peer, kind): count for (peer, kind), count in node.drift_warnings.items()}),
        "input_causes": {(each.reason, each.field, each.topic): each.count for each in tally.causes.sorted()},
    }
    counted = None if meter is None else meter.read()
    if counted is not None:
        labelled["socket_bytes"] = {("sent",): counted[0], ("received",): counted[1]}
    values: dict[str, float] = {
        "incarnation": node.incarnation,
        "start_time_seconds": runtime.started_ns / SECOND_NS,
        "samples": tally.samples,
        "samples_refused": tally.samples_refused,
        "labels": tally.labels,
        "unknown_labels": tally.unknown_labels,
        "labels_given_up": tally.labels_given_up,
        "judged": tally.judged,
        "right": tally.right,
        "prototypes": len(node.learner),
        "inbox_prototypes": len(node.inbox),
        "inbox_dropped": tally.inbox_dropped,
        "awaiting_labels": node.unlabelled,
        "inbound_queue_messages": runtime.inbound.waiting[0],
        "inbound_queue_bytes": runtime.inbound.waiting[1],
        "peers_met": len(runtime.roster.peers),
        "peers_alive": len(peers_alive),
        "bugs": tally.bugs,
        "snapshots": tally.snapshots,
        "snapshot_failures": tally.snapshots_failed,
        "stands_by": runtime.claim.stands_by,
        "name_shared": runtime.claim.shared(steady_ns),
        "clock_jumps": tally.clock_jumps,
        "network_reopened": tally.reopened,
    }
    if tally.snapshot_ns:
        values["snapshot_age_seconds"] = (steady_ns - tally.snapshot_ns) / SECOND_NS
    if lag_s is not None:
        values["loop_lag_seconds"] = lag_s
    end_ns = getattr(runtime.envelope, "certificate_end_ns", None)
    if end_ns is not None:
        values["certificate_expiry_timestamp_seconds"] = end_ns / SECOND_NS
    if runtime.trusting.trust is not None:
        values["revoked"] = runtime.trusting.revoked
        values["revoked_certificates"] = len(runtime.trusting.trust.revoked)
        values["tombstones"] = len(runtime.trusting.tombstones)
        values["tombstones_applied"] = tally.buried
        values["revocation_list_timestamp_seconds"] = runtime.trusting.trust.number
    if source is not None:
        values["source_dropped"] = source.dropped
        if tally.sample_ns:
            values["source_sample_age_seconds"] = (steady_ns - tally.sample_ns) / SECOND_NS
        labelled["source_refused"] = {(reason,): count for reason, count in sorted(source.refusals.items())}
    if runtime.control is not None:
        shown = runtime.control.status()
        values["sharing_paused"], values["links_cut"] = shown["paused"], len(shown["cut"])
        labelled["commands"] = {(word,): tally.commands[word] for word in sorted({*_OUTCOMES, *tally.commands})}
    if sink is not None:
        values["sink_dropped"] = sink.dropped
    values |= _connected(runtime)
    if tally.judged:
        recent = sum(tally.recent) / len(tally.recent)
        labelled["accuracy"] = {("recent",): recent, ("total",): tally.right / tally.judged}
    member = getattr(runtime.envelope, "member", None)
    return Reading(
        info={
            "id": str(node.id),
            "name": getattr(member, "name", str(node.id)),
            "swarm": getattr(member, "swarm", ""),
            "learner": type(node.learner).__name__,
        },
        traffic={
            "messages_sent": by_name(tally.sent),
            "bytes_sent": by_name(tally.sent_bytes),
            "messages_received": by_name(tally.received),
            "bytes_received": by_name(tally.received_bytes),
        },
        labelled=labelled,
        values=values,
        durations={
            name: (list(each.counts), each.sum_s)
            for name, each in (("share_latency", tally.latency), ("prediction", tally.predicting))
        },
    )


def _connected(runtime: Runtime) -> dict[str, float]:
    """Whether source and sink are; nothing after the end of the source, when neither is needed."""
    parts = {"source_connected": runtime.source, "sink_connected": runtime.sink}
    return {name: each.connected for name, each in parts.items() if each is not None and not runtime.source_ended}


class RuntimeCollector(Collector):
    """Metrics of a runtime, made for each scrape.

    Parameters
    ----------
    source : callable () -> Reading or None
        Calls `read` in the event loop; None before there is a runtime.
    """

    def __init__(self, source: Callable[[], Reading | None]) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        """All metrics that there can be, so that registering them reads nothing."""
        return families(_NOTHING)

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        reading = self._source()
        return iter(()) if reading is None else families(reading)


def make_registry(source: Callable[[], Reading | None]) -> CollectorRegistry:
    """A new registry with a runtime's metrics, and on Linux with the memory and processor time of the process."""
    registry = CollectorRegistry()
    registry.register(RuntimeCollector(source))
    ProcessCollector(registry=registry)
    return registry


def families(reading: Reading) -> Iterator[Metric]:
    """Every metric family with its samples."""
    build = {"version": version("protovine"), "python": platform.python_version()}
    yield InfoMetricFamily("protovine_build", "Versions of protovine and Python.", value=build)
    yield InfoMetricFamily("protovine_node", "Who this node is, and how it learns.", value=reading.info)
    for name, about in _TRAFFIC.items():
        yield _family("counter", name, about, ("peer", "kind"), reading.traffic.get(name, {}))
    for name, (kind, about, labels) in _LABELLED.items():
        found = reading.labelled.get(name)
        if found is not None:
            yield _family(kind, name, about, labels, found)
    for name, (kind, about) in _VALUES.items():
        if name in reading.values:
            yield _family(kind, name, about, (), {(): reading.values[name]})
    bounds = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
    for name, (counts, sum_s) in reading.durations.items():
        yield HistogramMetricFamily(
            f"protovine_{name}_seconds",
            _DURATIONS[name],
            buckets=list(zip(bounds, accumulate(counts), strict=True)),
            sum_value=sum_s,
        )


def _family(kind: str, name: str, about: str, labels: tuple[str, ...], samples: Counts) -> Metric:
    make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    family = make(f"protovine_{name}", about, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family


_NOTHING = Reading(
    info={},
    traffic={},
    labelled={name: {} for name in _LABELLED},
    values=dict.fromkeys(_VALUES, 0.0),
    durations=dict.fromkeys(_DURATIONS, ([0] * (len(BOUNDS_S) + 1), 0.0)),
)
