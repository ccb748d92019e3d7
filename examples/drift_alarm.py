"""Drift alarms: every node watches its own stream, and tells its peers when something has changed.

    python examples/drift_alarm.py

After 15 s the features of node 2 shift by two standard deviations; after 27 s one class becomes rare everywhere.
"""

import protovine


def main() -> None:
    """Run the default swarm with River's ADWIN at each node, and print which nodes saw which drift."""
    experiment = protovine.Experiment(
        presets=["default"],
        data={"source": "bananas", "limit": 2000},
        drift={"detector": "adwin"},
        faults=[
            {"kind": "drift", "change": "features", "at_s": 15.0, "nodes": [2]},
            {"kind": "drift", "change": "labels", "at_s": 27.0},
        ],
        seeds=1,
    )
    run = protovine.run(experiment).runs[0]
    for episode in run.drift:
        where = "everywhere" if episode.everywhere else f"at {episode.nodes}"
        print(f"drift of the {episode.kind} {where}, first seen after {episode.start_s:.1f} s")
    print(f"accuracy {run.metrics['accuracy']:.3f}")


if __name__ == "__main__":
    main()
