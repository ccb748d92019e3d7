"""Named systems to compare: the default, the paper's (with the authors' behaviour, `docs/paper.md`), baselines."""

from __future__ import annotations

from dataclasses import dataclass

from protovine.errors import ConfigError, suggest
from protovine.system.settings import (
    AlwaysGateSettings,
    BayesSettings,
    ExchangeSettings,
    GainGateSettings,
    GossipSettings,
    HedgedSettings,
    LearnerSettings,
    LogisticSettings,
    LogSettings,
    ModelSettings,
    PaperGateSettings,
    QueueInboxSettings,
    RiverSettings,
    ServerSettings,
    SetInboxSettings,
    SetSettings,
    XuILVQSettings,
)

# The default system.
_HEDGED, _LOG = HedgedSettings(), LogSettings()
_DRIFT_AGE = GossipSettings(fanout=4, share_probability=1.0, schedule="drift-age")
_SILENT = GossipSettings(share_probability=0.0)
# The paper's s and T.
_PAPER = GossipSettings(fanout=4, share_probability=0.1)


@dataclass(frozen=True)
class Preset:
    """Named settings. ``centralised``: one node gets the samples of all nodes."""

    name: str
    about: str
    learner: LearnerSettings = _HEDGED
    exchange: ExchangeSettings = _LOG
    gossip: GossipSettings = _DRIFT_AGE
    centralised: bool = False

    @property
    def shares(self) -> bool:
        """Whether nodes share anything. If not, overrides leave the share probability at 0."""
        return self.gossip.share_probability > 0

    @property
    def needs_server(self) -> bool:
        """Whether the system needs a server: one more node, without samples."""
        return isinstance(self.exchange, ServerSettings)


def _cluster(size_max: int, low: float = 50.0, high: float = 60.0, compressor: str = "dbscan") -> XuILVQSettings:
    return XuILVQSettings.model_validate(
        {
            "denoise_every": 0,
            "size_max": size_max,
            "compressor": compressor,
            "target_low": low,
            "target_high": high,
            # A bug in the authors' code that their published fixed points need.
            "compressor_weights": "authors",
        }
    )


_DISTANCE = SetSettings(gate=PaperGateSettings())
_NEWEST_SET = SetSettings(gate=PaperGateSettings(), inbox=SetInboxSettings())

PRESETS: dict[str, Preset] = {
    made.name: made
    for made in (
        Preset("default", "the default learner; nodes share the samples that their model predicted badly"),
        Preset("isolated", "the same learner, one model per node, no sharing", gossip=_SILENT),
        Preset(
            "centralised",
            "the same learner, one model that sees the samples of all nodes in the order of arrival",
            gossip=_SILENT,
            centralised=True,
        ),
        Preset(
            "default-gain",
            "as default, but whole sets go to a peer when the expected gain is worth it",
            exchange=SetSettings(gate=GainGateSettings(), inbox=QueueInboxSettings(queue_max=10_000)),
            gossip=_PAPER,
        ),
        Preset("paper-isolated", "XuILVQ, one model per node, no sharing", XuILVQSettings(), SetSettings(), _SILENT),
        Preset(
            "paper-base",
            "test 1 of the paper: with probability T the whole set goes to s random peers",
            XuILVQSettings(),
            SetSettings(gate=AlwaysGateSettings()),
            _PAPER,
        ),
        Preset(
            "paper-jsd",
            "test 2: as test 1, but only to peers whose last set is far from this node's (Jensen-Shannon distance)",
            XuILVQSettings(),
            _DISTANCE,
            _PAPER,
        ),
        Preset(
            "paper-queue",
            "test 3: as test 2, with at most 10,000 received prototypes waiting per peer",
            XuILVQSettings(),
            SetSettings(gate=PaperGateSettings(), inbox=QueueInboxSettings(queue_max=10_000)),
            _PAPER,
        ),
        Preset(
            "paper-cluster",
            "test 4: as test 2; learners keep 50 prototypes by DBSCAN, and of each peer the newest set",
            _cluster(50),
            _NEWEST_SET,
            _PAPER,
        ),
        Preset("paper-cluster-150", "test 4 at 150 prototypes", _cluster(150), _NEWEST_SET, _PAPER),
        Preset("paper-cluster-250", "test 4 at 250 prototypes", _cluster(250), _NEWEST_SET, _PAPER),
        Preset("paper-cluster-500", "test 4 at 500 prototypes", _cluster(500, 72.5, 77.5), _NEWEST_SET, _PAPER),
        Preset(
            "server",
            "federated prototypes: clients send their sets to a server, which clusters them and returns new prototypes",
            # The server sends the samples of all clients: trust would not allow a single peer that many.
            HedgedSettings(received_per_local_max=5.0),
            ServerSettings(inbox=QueueInboxSettings(queue_max=10_000)),
            GossipSettings(fanout=1, share_probability=0.3),
        ),
        Preset(
            "gossip-trees",
            "Hoeffding trees; each node keeps the newest tree of every peer as a voter",
            RiverSettings(),
            ModelSettings(),
            _PAPER,
        ),
        Preset("gossip-bayes", "the same with Gaussian naive Bayes", BayesSettings(), ModelSettings(), _PAPER),
        Preset(
            "gossip-logistic",
            "logistic regression; nodes average their weights with those of peers",
            LogisticSettings(),
            ModelSettings(),
            GossipSettings(fanout=4, share_probability=1.0),
        ),
        Preset(
            "river",
            "any classifier of River (`learner.classifier`), one model per node, no sharing",
            RiverSettings(),
            ModelSettings(),
            _SILENT,
        ),
        Preset(
            "paper-kmeans",
            "test 4 by k-means instead of DBSCAN",
            _cluster(50, compressor="kmeans"),
            _NEWEST_SET,
            _PAPER,
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset ``name``; `ConfigError` with the nearest name if it is unknown.

    Parameters
    ----------
    name : str
        One of `PRESETS`.

    Raises
    ------
    ConfigError
        There is no such preset; the message has the nearest name.

    Examples
    --------
    >>> preset("paper-jsd").gossip.share_probability, preset("paper-isolated").shares
    (0.1, False)
    >>> preset("paper-jds")
    Traceback (most recent call last):
    protovine.errors.ConfigError: unknown preset 'paper-jds' (did you mean 'paper-jsd'?)
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset '{name}'{suggest(name, PRESETS)}")
    return PRESETS[name]
