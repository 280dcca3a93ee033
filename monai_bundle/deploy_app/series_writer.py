"""What the writers have in common: each writes something of every series and passes the series on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.deploy.core import ConditionType, Fragment, Operator, OperatorSpec

from monai_bundle.deploy_app.predicted_series import PredictedSeries

INPUT, OUTPUT = "series", "written"
"""A writer's ports; both carry a list of predicted series."""


class SeriesWriterOperator(Operator):
    """Write something of every series.

    Args:
        fragment: the application.
        output: where to write; each series has a folder in it, named by its Series Instance UID.
        kwargs: as for the SDK's operators.
    """

    def __init__(self, fragment: Fragment, *args: Any, output: Path, **kwargs: Any) -> None:
        self.output = output
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input(INPUT)
        spec.output(OUTPUT).condition(ConditionType.NONE)  # nobody may be listening

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Write all series, then pass them on."""
        found: list[PredictedSeries] = op_input.receive(INPUT)
        self.write_all(found)
        op_output.emit(found, OUTPUT)

    def write_all(self, found: list[PredictedSeries]) -> None:
        """Write every series that has a prediction."""
        for series in found:
            if series.is_predicted:
                self.write(series, self.output / series.uid)

    def write(self, series: PredictedSeries, folder: Path) -> None:
        """Write one series.

        Args:
            series: what to write; what was written is noted in its ``written``.
            folder: where to.
        """
        raise NotImplementedError
