"""protovine's simulator beside others in one run: River's learners alone, and gossipy's gossip learning.

    python -m benchmarks.simulators [--gossipy PYTHON] [--nodes N ...] [--samples S] [--rounds R] [--json FILE]

``--gossipy`` names the Python of an environment that has gossipy 0.0.1, which needs PyTorch (6 GB):

    python -m venv gossipy && gossipy/bin/pip install gossipy-dfl==0.0.1 torchvision

Without it gossipy is left out. Every competitor runs in a process of its own, in turn, and takes CPU time without
imports and compilation. All have as many nodes, 8 neighbours each, and the same number of samples of 3 features and 2
classes. What a node does differs, so the columns say how many messages and updates there were:

- protovine: a prototype learner, prequential; samples arrive over time. Messages are bytes with headers and checksums,
  and every one is accounted for. Judging and ages are part of the time.
- River: a Hoeffding tree for each node, prequential, in a plain loop. Nothing is sent.
- gossipy: Pegasos, push, merge and update (Ormándi et al. 2013). A node that receives a model merges it and learns all
  of its samples again; every node sends once a round. Nothing is encoded, and nothing is evaluated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.page import publish

HERE = Path(__file__).resolve().parent.parent
# Rounds of gossipy: each node sends this many messages.
GOSSIPY_ROUNDS = 20
_OURS = """
import json, sys, time
from protovine import Experiment, run
preset, nodes, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def swarm(n, each, topology):
    about = {"nodes": n, "topology": topology}
    return Experiment(presets=preset, data={"source": "sea", "limit": n * each}, swarm=about, seeds=1)

run(swarm(5, 20, "full"))
ready = swarm(nodes, samples, "regular:8")
began = time.process_time()
found = run(ready).runs[0].metrics
cpu_s = time.process_time() - began
updates = nodes * samples + nodes * (found["prototypes_trained_per_node"] or 0)
print(json.dumps({"cpu_s": cpu_s, "messages": found["messages"], "updates": updates, "bytes": found["bytes_total"]}))
"""
_RIVER = """
import json, sys, time
from river import tree
from river.datasets import synth
nodes, samples = int(sys.argv[2]), int(sys.argv[3])
rows = list(synth.SEA(seed=1).take(nodes * samples))
models = [tree.HoeffdingTreeClassifier() for _ in range(nodes)]
began = time.process_time()
for i, (x, y) in enumerate(rows):
    models[i % nodes].predict_one(x)
    models[i % nodes].learn_one(x, y)
cpu_s = time.process_time() - began
print(json.dumps({"cpu_s": cpu_s, "messages": 0, "updates": len(rows), "bytes": 0}))
"""
_GOSSIPY = """
import json, logging, sys, time
import networkx, torch
from gossipy import LOG, set_seed
from gossipy.core import AntiEntropyProtocol, ConstantDelay, CreateModelMode, StaticP2PNetwork
from gossipy.data import DataDispatcher
from gossipy.data.handler import ClassificationDataHandler
from gossipy.model.handler import PegasosHandler
from gossipy.model.nn import AdaLine
from gossipy.node import GossipNode
from gossipy.simul import GossipSimulator, SimulationReport
nodes, samples, rounds = map(int, sys.argv[2:5])
LOG.setLevel(logging.ERROR)
torch.set_num_threads(1)
set_seed(1)
x = torch.rand(nodes * samples, 3)
y = 2.0 * (x[:, 0] + x[:, 1] < 0.8).float() - 1.0
data = DataDispatcher(ClassificationDataHandler(x, y, test_size=0), n=nodes, eval_on_user=False)
graph = networkx.random_regular_graph(8, nodes, seed=1)
network = StaticP2PNetwork(nodes, topology=networkx.to_numpy_array(graph, nodelist=range(nodes)))
model = PegasosHandler(net=AdaLine(3), learning_rate=0.01, create_model_mode=CreateModelMode.MERGE_UPDATE)
made = GossipNode.generate(data_dispatcher=data, p2p_net=network, model_proto=model, round_len=100, sync=True)
simulator = GossipSimulator(
    nodes=made, data_dispatcher=data, delta=100, protocol=AntiEntropyProtocol.PUSH, delay=ConstantDelay(1)
)
report = SimulationReport()
simulator.add_receiver(report)
began = time.process_time()
simulator.init_nodes(seed=1)
simulator.start(n_rounds=rounds)
cpu_s = time.process_time() - began
messages = nodes * rounds
print(json.dumps({"cpu_s": cpu_s, "messages": messages, "updates": (nodes + messages) * samples, "bytes": None}))
"""


def measured(python: str, code: str, *arguments: object) -> dict[str, Any]:
    """What a program says in its last line."""
    command = [python, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    if done.returncode:
        raise SystemExit(f"{arguments} failed: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compared(nodes: int, samples: int, rounds: int, gossipy: str | None) -> list[dict[str, Any]]:
    """Each competitor's medians over rounds, and its CPU time for an update over that of the first, with the range."""
    competitors: dict[str, tuple[str, str, tuple[object, ...]]] = {
        "protovine, default": (sys.executable, _OURS, ("default", nodes, samples)),
        "protovine, isolated": (sys.executable, _OURS, ("isolated", nodes, samples)),
        "River's Hoeffding trees": (sys.executable, _RIVER, ("river", nodes, samples)),
    }
    if gossipy:
        competitors["gossipy"] = (gossipy, _GOSSIPY, ("gossipy", nodes, samples, GOSSIPY_ROUNDS))
    turns = [
        {name: measured(python, code, *about) for name, (python, code, about) in competitors.items()}
        for _ in range(rounds)
    ]
    found = []
    for name in competitors:
        mine, first = [turn[name] for turn in turns], [turn["protovine, default"] for turn in turns]
        ratios = [
            each["cpu_s"] / each["updates"] / (o["cpu_s"] / o["updates"]) for each, o in zip(mine, first, strict=True)
        ]
        found.append(
            {
                "name": name,
                "nodes": nodes,
                "samples": samples,
                **mine[0],
                "cpu_s": statistics.median(each["cpu_s"] for each in mine),
                "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
            }
        )
    return found


def table_of(found: list[dict[str, Any]]) -> str:
    """A Markdown table of the measurements."""
    lines = [
        "| nodes x samples | | CPU s | messages | updates | updates per CPU s | CPU time of an update, default = 1 "
        "| kB sent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        middle, low, high = each["ratio"]
        cells = (
            f"{each['nodes']:,} x {each['samples']}",
            each["name"],
            f"{each['cpu_s']:,.2f}",
            f"{each['messages']:,}",
            f"{each['updates']:,.0f}",
            f"{each['updates'] / each['cpu_s']:,.0f}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
            "not encoded" if each["bytes"] is None else f"{each['bytes'] / 1000:,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gossipy", metavar="PYTHON", help="Python of an environment that has gossipy")
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--samples", type=int, default=20, help="samples of each node")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every number into this file")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    chosen = parser.parse_args()
    if not chosen.gossipy:
        print("gossipy is left out: --gossipy names no Python that has it", file=sys.stderr)
    found = [each for n in chosen.nodes for each in compared(n, chosen.samples, chosen.rounds, chosen.gossipy)]
    publish(found, table_of(found), "simulators", chosen.json, chosen.page)


if __name__ == "__main__":
    main()
