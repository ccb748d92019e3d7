"""An attack: two of six nodes flip every label, and the others find out by themselves.

    python examples/attack.py

A node trusts a sender as far as the sender's samples improve predictions of its own samples. Switch trust off
(``ablate``) to see what it is worth.
"""

import protovine


def accuracy(byzantine: str, **learner: object) -> float | None:
    """Mean accuracy of the honest nodes."""
    experiment = protovine.Experiment(
        presets=["default"],
        data={"source": "bananas", "limit": 1200},
        swarm={"nodes": 6, "byzantine": byzantine},
        learner=learner,
        seeds=1,
    )
    return protovine.run(experiment).runs[0].metrics["accuracy"]


def main() -> None:
    """Honest, attacked, and attacked without trust."""
    print(f"all six honest          {accuracy(''):.3f}")
    print(f"two flip labels         {accuracy('label-flip:2'):.3f}")
    print(f"the same without trust  {accuracy('label-flip:2', ablate=['trust']):.3f}")


if __name__ == "__main__":
    main()
