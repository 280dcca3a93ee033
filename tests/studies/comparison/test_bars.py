"""The bar chart of a comparison shows every score, interval and baseline that it is given, and none that it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text
from PIL import Image

from studies.comparison.bars import BarPanel, BarRow, comparison_figure, plot_comparison_bars
from studies.comparison.trivial_baseline_runs import TITLES

METRICS = ("accuracy", "macro F1", "Dice")
UNDEFINED = {"value": None, "ci95": None}
OURS = BarRow(
    "ours",
    {
        "accuracy": {"value": 0.9, "ci95": [0.85, 0.95]},
        "macro F1": {"value": 0.88, "ci95": [0.8, 0.93]},
        "Dice": {"value": 0.6, "ci95": [0.5, 0.7]},
    },
    published=0.9268,
)
CLASS_ONLY = BarRow(
    "ResNet50", {"accuracy": {"value": 0.8, "ci95": None}, "macro F1": {"value": 0.7, "ci95": None}, "Dice": UNDEFINED}
)
PANEL = BarPanel("Random", [OURS, CLASS_ONLY], {"nearest neighbour": 0.71, "file properties": 0.57})


def axes_of(*panels: BarPanel) -> list[Axes]:
    return list(comparison_figure(panels, METRICS).axes)


def test_each_defined_score_is_a_bar_from_zero_and_nothing_else_is() -> None:
    (axes,) = axes_of(PANEL)
    assert [bar.get_width() for bar in axes.patches] == [0.9, 0.88, 0.6, 0.8, 0.7]
    assert {bar.get_x() for bar in axes.patches} == {0}


def test_bars_of_a_model_stand_around_its_name() -> None:
    (axes,) = axes_of(PANEL)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ours", "ResNet50"]
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    assert np.round(middles).tolist() == [0, 0, 0, 1, 1]
    assert middles == sorted(middles)
    assert axes.yaxis_inverted()


def test_intervals_lie_on_their_bars_and_a_score_without_one_has_none() -> None:
    (axes,) = axes_of(PANEL)
    lines = [line for line in axes.lines if line.get_linestyle() == "-" and len(set(line.get_ydata())) == 1]
    ends = [[float(x) for x in line.get_xdata()] for line in lines if len(line.get_xdata()) == 2]
    assert ends == [[0.85, 0.95], [0.8, 0.93], [0.5, 0.7]]
    heights = [float(line.get_ydata()[0]) for line in lines if len(line.get_xdata()) == 2]
    assert heights == pytest.approx([bar.get_y() + bar.get_height() / 2 for bar in axes.patches[:3]])


def test_baselines_are_lines_at_their_accuracy_told_apart_and_named() -> None:
    (axes,) = axes_of(PANEL)
    baselines = [line for line in axes.lines if str(line.get_label()).startswith(("nearest", "file"))]
    assert [line.get_xdata()[0] for line in baselines] == [0.71, 0.57]
    assert baselines[0].get_linestyle() == baselines[1].get_linestyle() == "--"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "nearest neighbour, accuracy 0.710",
        "file properties, accuracy 0.570",
    ]


def test_the_legend_of_trivial_baselines_lies_within_the_picture_between_title_and_bars() -> None:
    ours = replace(OURS, name="ours: ResNet50 + CBAM + FPN")
    figure = comparison_figure([BarPanel("Grouped protocol", [ours], dict.fromkeys(TITLES.values(), 0.5))], METRICS)
    figure.canvas.draw()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    (title,) = (text for text in axes.findobj(Text) if text.get_text() == "Grouped protocol")
    assert axes.bbox.y1 <= box.y0 < box.y1 <= title.get_window_extent().y0 + 1


def test_a_published_accuracy_is_a_mark_on_the_accuracys_bar() -> None:
    (axes,) = axes_of(PANEL)
    (mark,) = [line for line in axes.lines if line.get_marker() == "D"]
    bar = axes.patches[0]
    assert mark.get_xdata()[0] == 0.9268
    assert bar.get_y() < mark.get_ydata()[0] < bar.get_y() + bar.get_height()


def test_protocols_stand_below_one_another_on_one_scale() -> None:
    panels = axes_of(PANEL, BarPanel("Grouped", [CLASS_ONLY]))
    assert [axes.get_title(loc="left") for axes in panels] == ["Random", "Grouped"]
    assert [axes.get_xlim() for axes in panels] == [(0, 1), (0, 1)]


@pytest.mark.parametrize(
    "panel",
    [
        PANEL,
        BarPanel("nothing", []),
        BarPanel("baselines alone", [], {"a baseline": 0.5}),
    ],
    ids=lambda panel: panel.title,
)
@pytest.mark.filterwarnings("error")
def test_a_picture_is_written_without_a_warning_and_without_global_state(panel: BarPanel, tmp_path: Path) -> None:
    plot_comparison_bars([panel], METRICS, tmp_path / "bars.png", "a title")
    assert [path.name for path in tmp_path.iterdir()] == ["bars.png"]
    assert np.asarray(Image.open(tmp_path / "bars.png").convert("L")).std() > 1
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize(("panels", "metrics"), [([], METRICS), ([PANEL], [*METRICS, "a fourth"])])
def test_no_panel_and_too_many_metrics_are_refused(panels: list[BarPanel], metrics: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one panel, at most three metrics"):
        comparison_figure(panels, metrics)
