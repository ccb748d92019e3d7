"""A topology of your own: two sites, each fully connected, and one link between them.

    python examples/topology.py

A topology of your own is a file with one link per line: two numbers of nodes.
"""

import tempfile
from itertools import combinations
from pathlib import Path

import protovine
from protovine.topology import neighbours

WEST, EAST = (0, 1, 2, 3), (4, 5, 6, 7)


def main() -> None:
    """Compare two sites with one link, the same with no link, and a full mesh."""
    sites = [*combinations(WEST, 2), *combinations(EAST, 2)]
    with tempfile.TemporaryDirectory() as folder:
        linked, apart = Path(folder, "linked.txt"), Path(folder, "apart.txt")
        apart.write_text("\n".join(f"{a} {b}" for a, b in sites))
        linked.write_text(apart.read_text() + "\n3 4  # The cable between the sites.\n")
        print("neighbours of node 3:", neighbours(str(linked), 8)[3])
        for name, topology in (("two sites, one link", linked), ("two sites, no link", apart), ("full mesh", "full")):
            result = protovine.run(
                protovine.Experiment(
                    presets=["default"],
                    data={"source": "phishing", "limit": 800},
                    swarm={"nodes": 8, "topology": str(topology)},
                    seeds=1,
                )
            )
            (run,) = result.runs
            f1, traffic = run.metrics["f1"], run.metrics["bytes_per_node_per_s"]
            print(f"{name:20} F1 {f1:.3f}, {traffic:.0f} bytes per node and second")


if __name__ == "__main__":
    main()
