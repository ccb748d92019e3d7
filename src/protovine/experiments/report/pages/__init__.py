"""The reports as HTML pages that load nothing.

- `render_report`: the page of an experiment (`run`)
- `sweep.write_sweep_report`: the page of a sweep, with its figures and tables as files
- `page.render_page`: what both are made with
"""

from protovine.experiments.report.pages.run import render_report

__all__ = ["render_report"]
