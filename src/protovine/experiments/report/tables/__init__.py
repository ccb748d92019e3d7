"""Tables of numbers.

- `print_result`: an experiment, for a terminal (`result`)
- `print_suite`, `suite_table`: a suite, for a terminal or as plain cells (`suite`)
- `sweep`: means, paired differences and ranks of a sweep, also as LaTeX
"""

from protovine.experiments.report.tables.result import print_result
from protovine.experiments.report.tables.suite import SuiteTable, print_suite, suite_table

__all__ = ["SuiteTable", "print_result", "print_suite", "suite_table"]
