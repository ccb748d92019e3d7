import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.stream import DataSet, Split, merged_order, parse_split, split_rows

ALPHAS = st.floats(min_value=5e-324, max_value=1.7e308, allow_nan=False)
SPLITS = st.one_of(
    st.sampled_from([Split("interleave"), Split("shuffle"), Split("blocks")]),
    st.builds(Split, st.sampled_from(["label-skew", "quantity-skew"]), ALPHAS),
)
LABELS = st.lists(st.integers(0, 3), max_size=60)


@given(y=LABELS, n_nodes=st.integers(1, 12), split=SPLITS, seed=st.integers(0, 2**32))
def test_every_row_goes_to_exactly_one_node_in_merged_order(y, n_nodes, split, seed):
    parts = split_rows(y, n_nodes, split, seed)
    order = merged_order(len(y), split, seed)
    assert len(parts) == n_nodes
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    place = np.empty(len(y), dtype=int)
    place[order] = np.arange(len(y))
    for part in parts:
        assert part.dtype == np.int64
        assert (np.diff(place[part]) > 0).all()


@given(y=LABELS, n_nodes=st.integers(1, 12), split=SPLITS, seed=st.integers(0, 2**32))
def test_same_seed_gives_the_same_split_however_it_is_named(y, n_nodes, split, seed):
    first = [part.tolist() for part in split_rows(y, n_nodes, split, seed)]
    assert first == [part.tolist() for part in split_rows(np.array(y, dtype=int), n_nodes, str(split), seed)]


@given(SPLITS)
def test_a_split_survives_its_text_form(split):
    assert parse_split(str(split)) == split


def test_interleave_takes_turns_and_blocks_are_contiguous():
    y = [0] * 7
    assert [part.tolist() for part in split_rows(y, 3, "interleave", 0)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert [part.tolist() for part in split_rows(y, 3, "blocks", 0)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [part.tolist() for part in split_rows(y[:2], 3, "interleave", 0)] == [[0], [1], []]


def test_shuffle_interleaves_a_permutation_that_the_seed_decides():
    order = merged_order(100, "shuffle", 4)
    assert sorted(order.tolist()) == list(range(100))
    assert [part.tolist() for part in split_rows([0] * 100, 3, "shuffle", 4)] == [
        order[node::3].tolist() for node in range(3)
    ]
    assert order.tolist() != merged_order(100, "shuffle", 5).tolist()
    assert merged_order(3, "label-skew:1", 4).tolist() == [0, 1, 2]


def fractions(y: np.ndarray, split: str, seed: int) -> np.ndarray:
    """The fraction of the rows of each class (rows) that each node (columns) got."""
    parts = split_rows(y, 5, split, seed)
    counts = np.array([np.bincount(y[part], minlength=4) for part in parts]).T
    return counts / counts.sum(axis=1, keepdims=True)


def test_label_skew_draws_dirichlet_fractions_for_each_class():
    y = np.arange(4000) % 4
    # Variance of one of k Dirichlet(a) fractions is (k - 1) / (k^2 (k a + 1)); 4,000 fractions per alpha are compared.
    for alpha in (0.1, 1.0, 10.0):
        drawn = np.concatenate([fractions(y, f"label-skew:{alpha}", seed).ravel() for seed in range(200)])
        expected = 4 / (25 * (5 * alpha + 1)) + 0.2 * 0.8 / 1000
        assert drawn.var() == pytest.approx(expected, rel=0.15)
    even = fractions(y, "label-skew:1.7e308", 0)
    assert np.abs(even - 0.2).max() < 0.06


def test_quantity_skew_has_uneven_sizes_but_even_classes():
    y = np.arange(8000) % 4
    sizes = np.array([[len(part) for part in split_rows(y, 5, "quantity-skew:0.5", seed)] for seed in range(200)])
    assert (sizes / 8000).var() == pytest.approx(4 / (25 * 3.5), rel=0.15)
    for seed in range(5):
        # Every class has the same node probabilities, so the four rows agree up to sampling noise.
        assert np.ptp(fractions(y, "quantity-skew:0.5", seed), axis=0).max() < 0.08


def test_a_tiny_alpha_gives_each_class_to_one_node():
    parts = split_rows([0, 1, 2, 3] * 50, 5, "label-skew:1e-9", 1)
    assert sorted(len(part) % 50 for part in parts) == [0] * 5


def test_labels_may_be_texts_or_a_data_set():
    y = np.array([0, 1, 1, 0, 1, 0, 0, 1])
    data = DataSet("tiny", np.zeros((8, 1)), y, ("a",), ("no", "yes"))
    expected = [part.tolist() for part in split_rows(y, 3, "label-skew:1", 2)]
    assert [part.tolist() for part in split_rows(data, 3, "label-skew:1", 2)] == expected
    assert [part.tolist() for part in split_rows(np.array(["no", "yes"])[y], 3, "label-skew:1", 2)] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interleaved", r"unknown split 'interleaved' \(did you mean 'interleave'\?\)"),
        ("", "unknown split ''"),
        ("label-skw:1", r"did you mean 'label-skew'\?"),
        ("blocks:2", "split blocks takes no number, got 'blocks:2'"),
        ("label-skew", "needs a number: label-skew:ALPHA with ALPHA > 0, got 'label-skew'"),
        ("label-skew:", "needs a number"),
        ("quantity-skew:much", "needs a number"),
        ("label-skew:0", "ALPHA of split label-skew must be > 0 and finite, got 0"),
        ("label-skew:-1", "must be > 0 and finite, got -1"),
        ("quantity-skew:inf", "must be > 0 and finite, got inf"),
        ("quantity-skew:nan", "must be > 0 and finite, got nan"),
    ],
)
def test_bad_split_text_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_split(text)


def test_no_nodes_and_tables_of_labels_are_refused():
    with pytest.raises(ConfigError, match="number of nodes must be at least 1, got 0"):
        split_rows([0, 1], 0, "blocks", 0)
    with pytest.raises(ConfigError, match=r"shape \(rows,\), got \(1, 2\)"):
        split_rows([[0, 1]], 2, "blocks", 0)


def test_a_file_says_which_node_gets_which_row(tmp_path):
    path = tmp_path / "nodes.txt"
    path.write_text("1\n0\n 2 \n0\n")
    split = parse_split(f"file:{path}")
    assert (split, f"file:{path}", True) == (parse_split(str(split)), str(split), split.uneven)
    assert [part.tolist() for part in split_rows(np.zeros(4), 4, split, 0)] == [[1, 3], [0], [2], []]
    assert [part.tolist() for part in split_rows(np.zeros(2), 3, split, 0)] == [[1], [0], []]
    path.write_text("1\n0\n", encoding="utf-8-sig")
    assert [part.tolist() for part in split_rows(np.zeros(2), 2, split, 0)] == [[1], [0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n3\n0\n", "line 2: a node is a number from 0 to 2, got '3'"),
        ("0\n\n0\n", "line 2: a node is a number from 0 to 2, got ''"),
        ("0\n-1\n0\n", "line 2: .* got '-1'"),
        ("0\n1.0\n0\n", "line 2: .* got '1.0'"),
        ("0\n" + "1" * 5000 + "\n0", "line 2: .* got '1111"),
        ("0\n1\n", "has a node for 2 rows, and there are 3"),
        ("", "has a node for 0 rows"),
        (None, "No such file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, text, message):
    path = tmp_path / "nodes.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        split_rows(np.zeros(3), 3, f"file:{path}", 0)
    with pytest.raises(ConfigError, match="split file needs a path"):
        parse_split("file:")
