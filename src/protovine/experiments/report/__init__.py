"""From results to reports; nothing here runs an experiment or opens a sweep.

- `plot`: colours, axes, scales, legends, and figures as files or SVG
- `text`: names, numbers and settings as words
- `figures`: data, drawing and caption of each figure
- `tables`: tables for terminals, CSV and LaTeX
- `pages`: HTML pages of experiments and sweeps
- `published`: the paper's numbers, and which runs they can be compared with
"""
