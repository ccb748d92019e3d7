"""Records in columns are the same records."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protovine.columns import Columns
from protovine.records import (
    Arrived,
    Down,
    Learned,
    Lost,
    Missed,
    Predicted,
    Received,
    Record,
    Sent,
    Trained,
    TrainedRun,
)

NUMBERS = st.integers(-(2**62), 2**62)


def records_of(kind: type[Record]) -> st.SearchStrategy[Record]:
    special = {
        "proba": st.one_of(st.just(()), st.lists(st.floats(0, 1), min_size=2, max_size=300).map(tuple)),
        "runs": st.lists(st.builds(TrainedRun, *[NUMBERS] * 6), max_size=3).map(tuple),
        "kind": st.sampled_from(["log", "probe", "share"]),
        "reason": st.text(max_size=5),
    }
    fields = [special.get(name, NUMBERS) for name in kind.__struct_fields__]
    if kind is Learned:
        fields[3] = st.booleans()
    return st.builds(kind, *fields)


KINDS = (Arrived, Missed, Predicted, Learned, Trained, Sent, Received, Lost, Down)


@given(st.lists(st.one_of(*map(records_of, KINDS)), max_size=30))
def test_columns_give_back_the_records_in_order(records):
    kept = Columns(records)
    assert records == list(kept)
    assert len(records) == len(kept)
    assert max((record.at_ns for record in records), default=0) == (kept.end_ns if records else 0)
    for kind in KINDS[:7]:
        mine = [record for record in records if type(record) is kind]
        for name, column in kept.of(kind).items():
            if name != "kind":
                assert [getattr(record, name) for record in mine] == column.tolist()
    assert [record for record in records if type(record) in (Lost, Down)] == kept.others(Lost, Down)
    runs = [
        (place, run) for place, record in enumerate(r for r in records if type(r) is Trained) for run in record.runs
    ]
    assert [place for place, _ in runs] == kept.runs["place"].tolist()
    assert [run.created_ns for _, run in runs] == kept.runs["created_ns"].tolist()


@given(st.lists(st.tuples(st.integers(0, 2), st.one_of(*map(records_of, KINDS))), max_size=30), st.integers(1, 30))
def test_parts_of_columns_are_merged_into_the_same_records(made, window):
    """As shards do it: each keeps its own, hands them over after a window, and the parent knows whose each is."""
    shards, kept = [Columns() for _ in range(3)], [Columns() for _ in range(3)]
    for first in range(0, len(made), window):
        for number, shard in enumerate(shards):
            shard.add_all([record for whose, record in made[first : first + window] if whose == number])
            kept[number].extend(shard.take())
            assert len(shard) == 0
    merged = Columns.merged(kept, np.array([whose for whose, _ in made], np.uint8))
    whole = Columns([record for _, record in made])
    assert list(merged) == list(whole)
    merged.add_all([Down(1, 2)])
    whole.add_all([Down(1, 2)])
    assert vars(merged) == vars(whole)
