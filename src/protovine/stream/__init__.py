"""Data sets by name, file or Python object, and how their rows are split over nodes.

- `load`: a data set from a name, file or Python object; `catalog` lists the names, `is_seeded` says which use a seed.
- `DataSet`: rows in stream order; `Label`: a class; `require_classes`: refuses rows of one class only.
- `ReadOptions`: how a table is read.
- `read_file`, `from_python`, `generate`: the three kinds of source.
- `split_rows`, `merged_order`, `nodes_of_file`, `Split`, `parse_split`: which node gets which rows.
"""

from protovine.stream.catalog import Entry, catalog, is_seeded, load
from protovine.stream.dataset import UNLABELLED, DataSet, Label, require_classes
from protovine.stream.files import read_file
from protovine.stream.options import ReadOptions
from protovine.stream.python import from_python
from protovine.stream.split import Split, merged_order, nodes_of_file, parse_split, split_rows
from protovine.stream.synthetic import generate

__all__ = [
    "UNLABELLED",
    "DataSet",
    "Entry",
    "Label",
    "ReadOptions",
    "Split",
    "catalog",
    "from_python",
    "generate",
    "is_seeded",
    "load",
    "merged_order",
    "nodes_of_file",
    "parse_split",
    "read_file",
    "require_classes",
    "split_rows",
]
