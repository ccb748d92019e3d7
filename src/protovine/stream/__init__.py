"""Where the rows come from: data sets by name, file or Python object, and how nodes share them out."""

from protovine.stream.catalog import Entry, catalog, is_seeded, load
from protovine.stream.dataset import DataSet, Label, require_classes
from protovine.stream.files import read_file
from protovine.stream.python import from_python
from protovine.stream.split import Split, merged_order, parse_split, split_rows
from protovine.stream.synthetic import generate

__all__ = [
    "DataSet",
    "Entry",
    "Label",
    "Split",
    "catalog",
    "from_python",
    "generate",
    "is_seeded",
    "load",
    "merged_order",
    "parse_split",
    "read_file",
    "require_classes",
    "split_rows",
]
