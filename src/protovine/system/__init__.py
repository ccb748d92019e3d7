"""Settings of a system: presets, typed sections, and the node built from them.

- `SystemSettings`: learner, exchange and gossip; one section per kind of learner, exchange, gate and inbox
- `PRESETS`, `preset`: named systems
- `resolve`: a preset and overrides as settings, the same for experiments and for nodes
- `build_node`, `NodeContext`, `build_learner`: the objects built from settings; `warm` compiles their kernels
- `assignment`, `explain`, `merged_tables`, `nested`, `read_tables`, `unknown_key`: settings as tables
"""

from protovine.system.build import NodeContext, build_learner, build_node, nanoseconds, warm
from protovine.system.presets import PRESETS, Preset, preset
from protovine.system.resolve import resolve, split_by_kind, with_kinds
from protovine.system.settings import (
    DriftSettings,
    ExchangeSettings,
    GossipSettings,
    LearnerSettings,
    Probability,
    Seconds,
    Section,
    SystemSettings,
)
from protovine.system.tables import assignment, explain, kinds, merged_tables, nested, read_tables, unknown_key

__all__ = [
    "PRESETS",
    "DriftSettings",
    "ExchangeSettings",
    "GossipSettings",
    "LearnerSettings",
    "NodeContext",
    "Preset",
    "Probability",
    "Seconds",
    "Section",
    "SystemSettings",
    "assignment",
    "build_learner",
    "build_node",
    "explain",
    "kinds",
    "merged_tables",
    "nanoseconds",
    "nested",
    "preset",
    "read_tables",
    "resolve",
    "split_by_kind",
    "unknown_key",
    "warm",
    "with_kinds",
]
