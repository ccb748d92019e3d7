"""Plot primitives that every figure uses: one look, axes, legends, scales, bands, and figures as files or SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError
from protovine.experiments.run.result import metric_range
from protovine.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import Formatter

Floats = NDArray[np.float64]

# Okabe and Ito, "Color Universal Design", 2008, without the yellow, which is too pale on white. Line styles alternate
# as well, so that no curve is known by its colour alone. With 7 colours and 5 styles 35 curves differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
STYLES: tuple[Any, ...] = (
    "-",
    (0, (4.5, 1.6)),
    (0, (1, 1.2)),
    (0, (6, 1.4, 1, 1.4)),
    (0, (5, 1.2, 1, 1.2, 1, 1.2)),
)
MARKERS = "osD^vP*X<>"
GREY = "#555555"
BAND_ALPHA = 0.14

WIDTH_IN = 5.6  # At the width of a phone the text of 10 pt is still 9 px high.
PANEL_IN = (3.1, 2.5)  # A panel of several.
COLUMNS = 3  # Panels in a row.
LEGEND_ROW_IN = 0.21
FORMATS = (".png", ".svg", ".pdf")

_LOOK = {
    "svg.fonttype": "none",
    "svg.hashsalt": "protovine",
    "font.size": 10,
    "text.parse_math": False,  # A name may hold dollar signs.
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Drawing:
    """One figure and its words: ``panels`` stand side by side with ``scale`` below them.

    ``name`` is the stem of its files. Without panels there is nothing to draw, and the caption says why.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Figure, ...] = ()
    scale: Figure | None = None

    def svgs(self) -> list[str]:
        """The panels as SVG elements for a page."""
        several = len(self.panels) > 1
        return [
            inline_svg(each, f"{self.name}{i if several else ''}", self.title) for i, each in enumerate(self.panels)
        ]

    def scale_svg(self) -> str:
        """The scale as an SVG element; empty without one."""
        return inline_svg(self.scale, f"{self.name}-scale", self.title) if self.scale else ""


def look() -> AbstractContextManager[None]:
    """The context in which every figure is made and written; the user's own matplotlib settings do not apply."""
    from matplotlib import style

    return style.context(["default", _LOOK])


# Axes


def one_axes(height_in: float, top_in: float, left_in: float = 0.72, bottom_in: float = 0.5) -> tuple[Figure, Axes]:
    """A figure with one pair of axes within fixed margins, so that figures side by side line up."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in))
    width = (WIDTH_IN - left_in - 0.15) / WIDTH_IN
    height = (height_in - top_in - bottom_in) / height_in
    return figure, figure.add_axes((left_in / WIDTH_IN, bottom_in / height_in, width, height))


def panels(titles: Sequence[str], legend: Sequence[str], sharex: bool = True, sharey: bool = True) -> Any:
    """A figure and its axes: one panel for each title, in rows of three, with room for a legend of these names."""
    from matplotlib.figure import Figure

    n = len(titles)
    columns = min(COLUMNS, n)
    rows = -(-n // columns)
    width, height = (WIDTH_IN, 3.3) if n == 1 else (PANEL_IN[0] * columns, PANEL_IN[1] * rows)
    legend_rows = -(-len(legend) // legend_columns(legend, width)) if legend else 0
    figure = Figure(figsize=(width, height + 0.3 + LEGEND_ROW_IN * legend_rows), layout="constrained")
    cells = list(figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False).flat)
    for axes in cells[n:]:
        axes.set_visible(False)
    for i, (axes, title) in enumerate(zip(cells, titles, strict=False)):
        axes.set_title(title, fontsize=9.5)
        if sharex:
            axes.tick_params(labelbottom=i + columns >= n)
    return figure, cells[:n]


def label_axes(figure: Figure, cells: Sequence[Axes], x: str, y: str) -> None:
    """Labels that all panels share."""
    if len(cells) == 1:
        cells[0].set(xlabel=x, ylabel=y)
    else:
        figure.supxlabel(x, fontsize=10)
        figure.supylabel(y, fontsize=10)


# Colours, lines, legends


def colour(number: int) -> str:
    """The colour of the curve with this number; they start again after the last."""
    return COLOURS[number % len(COLOURS)]


def line_style(number: int) -> Any:
    """The line style of the curve with this number; they start again after the last."""
    return STYLES[number % len(STYLES)]


def marker(number: int) -> str:
    """The marker of this number."""
    return MARKERS[number % len(MARKERS)]


def handle(number: int, line: bool = True, dot: bool = False, solid: bool = False) -> Line2D:
    """The entry in a legend for the curve or the points of this number; ``solid`` for a curve without its style."""
    from matplotlib.lines import Line2D

    style: Any = ("-" if solid else line_style(number)) if line else ""
    symbol = marker(number) if dot else ""
    face = colour(number) + ("" if line else "80")
    return Line2D([], [], color=colour(number), linestyle=style, marker=symbol, markersize=5, markerfacecolor=face)


def legend_columns(names: Sequence[str], width_in: float) -> int:
    """Columns of a legend such that its names fit the width and its rows are about equally full."""
    fitting = max(1, min(len(names), int(14 * width_in) // max(8 + len(name) for name in names)))
    rows = -(-len(names) // fitting)
    return -(-len(names) // rows)


def legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """A legend above the axes, where it hides nothing."""
    outside = "outside " if figure.get_layout_engine() else ""
    columns = legend_columns(names, figure.get_figwidth())
    loc: Any = f"{outside}upper left"
    figure.legend(handles, list(names), loc=loc, ncols=columns, borderaxespad=0.2, fontsize=9)


# Curves


class Curve(NamedTuple):
    """A value over time: its mean over seeds, the lowest and the highest seed; NaN where no seed has a value."""

    at_s: Floats
    mean: Floats
    low: Floats
    high: Floats


def over_seeds(curves: Sequence[tuple[Floats, Floats]]) -> Curve:
    """One curve from those of several seeds, each given as times and values.

    Seeds end at different times, so all are read at common times until the first one ends. A single one keeps its own.
    """
    curves = [(at_s, values) for at_s, values in curves if len(at_s)]
    if not curves:
        return Curve(*(np.empty(0),) * 4)
    grids = [at_s for at_s, _ in curves]
    t = np.linspace(0.0, min(grid[-1] for grid in grids), max(map(len, grids)) + 1)[1:] if len(grids) > 1 else grids[0]
    return spread(t, [np.interp(t, at_s, values) for at_s, values in curves])


def spread(at_s: Floats, values: Sequence[Floats]) -> Curve:
    """The mean, the lowest and the highest of several curves at the same times."""
    stacked = np.ma.masked_invalid(np.stack(list(values)))
    return Curve(at_s, *(np.ma.filled(each, np.nan) for each in (stacked.mean(0), stacked.min(0), stacked.max(0))))


def draw_curve(axes: Axes, curve: Curve, number: int, band: bool = False) -> None:
    """The mean as a line, with a band from the lowest to the highest seed if asked for."""
    single = np.isfinite(curve.mean).sum() == 1 or curve.at_s[0] == curve.at_s[-1]  # A point has no line.
    style = {"linestyle": line_style(number), "marker": "o" if single else None, "markersize": 4}
    axes.plot(curve.at_s, curve.mean, color=colour(number), **style)
    if band:
        axes.fill_between(curve.at_s, curve.low, curve.high, color=colour(number), alpha=BAND_ALPHA, linewidth=0)


def interval_ends(mean: Any, half: Any, metric: str) -> tuple[Floats, Floats]:
    """Lower and upper ends (n,) of intervals around means (n,), cut where the metric can have no value; half NaN is 0.

    Examples
    --------
    >>> interval_ends([0.5, 0.9], [0.1, 0.2], "f1")
    (array([0.4, 0.7]), array([0.6, 1. ]))
    """
    mean, half = np.asarray(mean, float), np.nan_to_num(np.asarray(half, float))
    low, high = metric_range(metric)
    # A mean out of its range would be a bug to be seen.
    return np.minimum(mean, np.maximum(mean - half, low)), np.maximum(mean, np.minimum(mean + half, high))


def error_bars(mean: Any, half: Any, metric: str) -> Floats:
    """The lengths (2, n) of error bars below and above means (n,), as `interval_ends`."""
    low, high = interval_ends(mean, half, metric)
    return np.stack([np.asarray(mean, float) - low, high - np.asarray(mean, float)])


def mark_drifts(axes: Axes, at_s: Sequence[float]) -> None:
    """A dotted vertical line at each time at which the concept changes."""
    for each in at_s:
        axes.axvline(each, color=GREY, linewidth=1.1, linestyle=":")


# Scales


def scale(axes: Axes, which: Literal["x", "y"], values: Floats) -> bool:
    """Scale an axis to some values >= 0: linear within a decade, else logarithmic, which the result says.

    A logarithmic axis has a linear piece next to 0 if 0 occurs, grey if the axis is horizontal. Ticks have SI prefixes
    from 1,000 on.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    values = values[np.isfinite(values)]
    positive, zero = values[values > 0], bool((values == 0).any())
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(plain_formatter())
    if not len(positive):
        axes.set(**{f"{which}lim": (-0.1 if which == "x" else 0.0, 1.0)})
        axis.set_major_locator(FixedLocator([0.0]))
        return False
    # Points on the edge of a scatter plot would be cut; curves may begin at the edge.
    margin = 0.06 * positive.max() if which == "x" and zero else 0.0
    if positive.max() <= 10 * positive.min():
        axis.set_major_locator(MaxNLocator(5))
        if zero or which == "y":
            axes.set(**{f"{which}lim": (-margin, None)})
        return False
    low, high = 10.0 ** np.floor(np.log10(positive.min())), 10.0 ** np.ceil(np.log10(positive.max()))
    decades = np.arange(round(np.log10(low)), round(np.log10(high)) + 1)
    steps = (1, 2, 5) if which == "y" and positive.max() < 300 * positive.min() else (1,)
    ticks = [step * 10.0**k for k in decades for step in steps]
    if zero:
        (axes.set_xscale if which == "x" else axes.set_yscale)("symlog", linthresh=low, linscale=0.6)
        ticks = [0.0, *(tick for tick in ticks if tick >= low)]
        limits = (-0.25 * low if which == "x" else 0.0, positive.max() * 1.6)
        if which == "x":  # No logarithmic axis has a 0: it stands apart, on grey.
            axes.axvspan(limits[0], 0.35 * low, color="#f1f1f1", zorder=0, linewidth=0)
    else:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        limits = (positive.min() / 1.6, positive.max() * 1.6)
    axes.set(**{f"{which}lim": limits})
    axis.set_major_locator(FixedLocator([tick for tick in ticks if tick <= limits[1]]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(plain_formatter())  # Another scale resets it.
    return True


def plain_formatter() -> Formatter:
    """Ticks with SI prefixes from 1,000 on, and plain decimals below 1: "800 m" beside "[B/s]" would be metres.

    Examples
    --------
    >>> [plain_formatter()(value) for value in (0, 0.24, 20, 5000)]
    ['0', '0.24', '20', '5 k']
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter

    large = EngFormatter()
    return FuncFormatter(lambda value, _: large(value) if abs(value) >= 1 else f"{value:.10g}")


def log_both(axes: Axes, x: str, y: str) -> None:
    """Logarithmic axes with these labels and plain numbers at the ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        set_scale("log")
        low, high = axes.get_xlim() if axis is axes.xaxis else axes.get_ylim()
        wide = LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,))
        axis.set_major_locator(MaxNLocator(5) if high < 5 * low else wide)  # Fewer than two of 1, 2, 5 may be there.
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(f"{x}, log scale")
    axes.set_ylabel(f"{y}, log scale")


# Files and pages


def check_path(path: Path) -> None:
    """Raise `ConfigError` unless the file ends in .png, .svg or .pdf and its folder exists."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"a figure must end in .png, .svg or .pdf, got '{path.name}'")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write the figure {path}: there is no folder '{path.parent}'")


def save(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of the file; the same figure gives the same bytes.

    Raises
    ------
    ConfigError
        The file has another ending or cannot be written.
    """
    check_path(path)
    undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
    try:
        _print(figure, path, dpi=dpi, metadata=undated)
    except OSError as error:
        raise ConfigError(f"cannot write the figure {path}: {error.strerror}") from None


def _print(figure: Figure, target: Path | io.StringIO, **options: Any) -> None:
    _show_controls(figure)
    with look():
        figure.savefig(target, **options)
    # Placing everything takes as long as drawing it; other forms of the figure have it in the same places.
    figure.set_layout_engine("none")


def _show_controls(figure: Figure) -> None:
    """Replace control characters of names by their escapes: an SVG file must not have them."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_text(printable(text.get_text(), keep="\n"))


def inline_svg(figure: Figure, key: str, label: str) -> str:
    """The figure as an SVG element that loads nothing from outside the page; ``key`` keeps its ids apart.

    Screen readers get the label of the figure, or else ``label``.
    """
    buffer = io.StringIO()
    _print(figure, buffer, format="svg")
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Its metadata hold the date, and addresses.
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # In HTML neither name spaces nor a size are needed; text has the font of the page.
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1 @>", text, count=1, flags=re.DOTALL)
    words = escape(printable(str(figure.get_label() or label)))
    text = text.replace("@", f'role="img" aria-label="{words}"', 1)
    text = text.replace("xlink:href", "href").replace("'DejaVu Sans'", "system-ui")
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{key}-", text)
