"""One member of the swarm by its settings: presets, typed settings, and the node that they stand for."""

from protovine.system.build import build_learner, build_node, nanoseconds, warm
from protovine.system.presets import PRESETS, Preset, preset
from protovine.system.settings import (
    GossipSettings,
    LearnerSettings,
    Probability,
    Seconds,
    Section,
    ShareSettings,
    explain,
    merged_tables,
    nested,
    read_tables,
)

__all__ = [
    "PRESETS",
    "GossipSettings",
    "LearnerSettings",
    "Preset",
    "Probability",
    "Seconds",
    "Section",
    "ShareSettings",
    "build_learner",
    "build_node",
    "explain",
    "merged_tables",
    "nanoseconds",
    "nested",
    "preset",
    "read_tables",
    "warm",
]
