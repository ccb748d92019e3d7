"""The kernels against the plain twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protovine.learn import HedgedLVQCore
from tests.learn.hedged.streams import SECOND, blobs, receive, stream
from tests.learn.hedged.twin import Twin

# The twin has linear scales.
LINEAR = ("log-scale",)


def assert_equal_to_the_twin(
    x: np.ndarray, codes: np.ndarray, core: HedgedLVQCore, per_local: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    twin = Twin(core, senders=3)

    def receive_both(now: int, slot: int) -> None:
        # The third sender lies about labels; some items are far out, some late, and they weigh differently.
        i = draw.integers(len(x))
        code = int(codes[i]) if slot < 3 else int(draw.integers(core.n_classes))
        far, weight, at_ns = (
            50 if draw.random() < 0.02 else 1,
            float(draw.integers(1, 4)),
            now - int(draw.integers(9e9)),
        )
        receive(core, far * x[i : i + 1], np.array([code]), slot, at_ns, weight)
        twin.receive(far * x[i], code, at_ns, slot, weight)

    for slot in (1, 2, 3) if per_local else ():
        receive_both(0, slot)
    now = 0
    for i, row in enumerate(x):
        now += int(draw.exponential(SECOND))
        assert np.abs(twin.predict(row, now) - core.predict(row, now).proba).max() < 1e-9, f"row {i}"
        core.learn(x[i : i + 1], codes[i : i + 1], np.array([now]))
        twin.learn(row, int(codes[i]), now)
        for _ in range(draw.poisson(per_local)):
            receive_both(now, int(draw.integers(1, 4)))
    held = core.prototypes()
    assert [p.label for p in twin.held] == held.label.tolist()
    assert [p.event for p in twin.held] == held.event_ns.tolist()
    assert np.allclose([p.x for p in twin.held], held.x, rtol=1e-9, atol=0)
    assert np.allclose([p.local[0] + twin.trust[p.slot] * p.received[0] for p in twin.held], held.weight, rtol=1e-9)
    for slot, trust in core.trust.items():
        assert trust == pytest.approx(twin.trust[slot], rel=1e-6)


@pytest.mark.parametrize("per_local", [0.0, 1.5], ids=["local", "local and received"])
@pytest.mark.parametrize(
    ("name", "ablate"),
    # The twin takes its time with the many features and classes of the second stream.
    [("bananas", ()), ("bananas", ("trust",)), ("bananas", ("hedge", "fisher", "recency")), ("image-segments", ())],
    ids=str,
)
def test_kernels_equal_the_plain_twin(name: str, per_local: float, ablate: tuple[str, ...]) -> None:
    x, codes, n_classes = stream(name)
    core = HedgedLVQCore(x.shape[1], n_classes, size_max=50, ablate=ablate + LINEAR)
    assert_equal_to_the_twin(x[:200], codes[:200], core, per_local, seed=1)


@pytest.mark.parametrize("seed", [11, 12, 23])
def test_prototypes_at_any_distance_vote_as_in_the_plain_twin(seed: int) -> None:
    # Of the last class all are so far from the others that an exponential of the distance is 0 in 64 bits.
    x, codes = blobs(60, 2, 3, seed)
    x += 1000.0 * (codes == 2)[:, None]
    core = HedgedLVQCore(2, 3, size_max=20, margin=0.2501, ablate=LINEAR)
    assert_equal_to_the_twin(x, codes, core, per_local=1.0, seed=seed)


def test_senders_far_from_all_votes_forget_their_evidence_as_in_the_plain_twin() -> None:
    x, codes, n_classes = stream("image-segments")
    core = HedgedLVQCore(x.shape[1], n_classes, size_max=50, ablate=LINEAR)
    assert_equal_to_the_twin(x[:80], codes[:80], core, per_local=1.5, seed=1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 4), st.floats(0, 2))
@example(12778, 2, 4, 1.0)  # Two features whose correlation in a class is nearly 1.
@example(3401680354, 2, 2, 0.11999497272020498)  # Three experts whose losses differ by 1e-9.
@example(493458, 1, 2, 1.5625)  # A sample that comes five times.
def test_kernels_equal_the_plain_twin_on_random_streams(seed: int, dim: int, n_classes: int, per_local: float) -> None:
    x, codes = blobs(60, dim, n_classes, seed)
    # Repeated samples meet a margin of 1/4 exactly, and rounding would decide.
    core = HedgedLVQCore(dim, n_classes, size_max=20, margin=0.2501, ablate=LINEAR)
    assert_equal_to_the_twin(x, codes, core, per_local, seed)
