"""Late labels: a node predicts at once, and learns when the label comes.

    python examples/late_labels.py

A node does no I/O and reads no clock: you call it, and tell it the time.
"""

import numpy as np

import protovine
from protovine.system import NodeContext, SystemSettings, build_node, resolve

DELAY = 50  # Each label comes this many samples after its sample, and every tenth never.
PERIOD_NS = 100_000_000


def main() -> None:
    """One node of the default system on the Bananas stream, ten samples a second."""
    data = protovine.load("bananas", rows=1500)
    context = NodeContext(0, [], data.x.shape[1], len(data.classes), lambda purpose: np.random.default_rng(0))
    node = build_node(resolve("default", {}, SystemSettings), context)
    right = 0
    for i, x in enumerate(data.x):
        now_ns = i * PERIOD_NS
        right += node.observe(x, now_ns=now_ns, sample_id=i).code == data.y[i]  # Without a label yet.
        if i >= DELAY and i % 10:
            node.label(i - DELAY, int(data.y[i - DELAY]), now_ns)
        node.drain()  # Its messages and records; it has no peers here.
    print(f"accuracy {right / len(data):.3f}")
    print(f"{node.samples_learnt} samples learnt, {node.unlabelled} still wait for their label")


if __name__ == "__main__":
    main()
