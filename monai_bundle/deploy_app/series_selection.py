"""Which series are predicted: all of MR images that form one stack of slices."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import Any

import pydicom
from monai.deploy.core import Fragment
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_series_selection import StudySelectedSeries
from monai.deploy.core.domain.dicom_study import DICOMStudy
from monai.deploy.operators import DICOMSeriesSelectorOperator

from braintumor_ext.dicom_output import split_series
from braintumor_ext.errors import InputError
from monai_bundle.deploy_app.dicom_folder import MODALITY, SOP_CLASS, is_mr_image

logger = logging.getLogger(__name__)


class MrSeriesSelectorOperator(DICOMSeriesSelectorOperator):
    """Select every MR series whose slices have one size, orientation and spacing; tell which are passed over.

    Args:
        folder: where the studies are from, for messages.
        wanted: a regular expression that is searched for in a series' description, whatever the case; None takes
            all.
    """

    def __init__(self, fragment: Fragment, *args: Any, folder: str, wanted: str | None = None, **kwargs: Any) -> None:
        self.folder, self.wanted = folder, wanted
        conditions = {"Modality": f"^{MODALITY}$", "SOPClassUID": f"^{re.escape(SOP_CLASS)}$"}
        if wanted is not None:
            conditions["SeriesDescription"] = wanted
        rules = {"selections": [{"name": "MR images", "conditions": conditions}]}
        super().__init__(fragment, *args, rules=json.dumps(rules), all_matched=True, **kwargs)

    def filter(
        self, selection_rules: Any, dicom_study_list: Sequence[DICOMStudy], *args: Any, **kwargs: Any
    ) -> list[StudySelectedSeries]:
        """Return the studies with their selected series.

        Raises:
            InputError: there is none to predict; why is told of each.
        """
        matched = super().filter(selection_rules, dicom_study_list, *args, **kwargs)
        found = {s.series.SeriesInstanceUID for chosen in matched for s in chosen.selected_series}
        reasons: dict[str, str] = {}
        for study in dicom_study_list:
            for series in study.get_all_series():
                if (problem := self._problem(series, series.SeriesInstanceUID in found)) is not None:
                    reasons[series.SeriesInstanceUID] = f"{_name(series)} {problem}"
        selected = []
        for chosen in matched:
            kept = StudySelectedSeries(chosen.study)
            for one in chosen.selected_series:
                if one.series.SeriesInstanceUID not in reasons:
                    kept.add_selected_series(one)
            if kept.selected_series:
                selected.append(kept)
        if not selected:
            problem = f"has no series to predict: {'; '.join(reasons.values())}"
            raise InputError(self.folder, problem, "Give a folder with an MR series of one file for each slice")
        for reason in reasons.values():
            logger.warning("Passed over: %s.", reason)
        return selected

    def _problem(self, series: DICOMSeries, is_matched: bool) -> str | None:
        """Return why a series is not predicted; None if it is."""
        headers = [instance.get_native_sop_instance() for instance in series.get_sop_instances()]
        if not is_mr_image(headers[0]):
            return f"holds {_kinds(headers)}, not MR images of one frame"
        if not is_matched:
            return f"has no description that matches {self.wanted!r}"
        if not all(is_mr_image(header) for header in headers):
            return f"holds {_kinds(headers)} together"
        # Such as a localizer, which looks along three axes.
        return "has slices of several sizes, orientations or spacings" if len(split_series(headers)) > 1 else None


def _name(series: DICOMSeries) -> str:
    described = f" ({series.SeriesDescription})" if series.SeriesDescription else ""
    return f"series {series.SeriesInstanceUID}{described}"


def _kinds(headers: Sequence[pydicom.Dataset]) -> str:
    return ", ".join(sorted({f"{header.Modality} ({header.SOPClassUID.name})" for header in headers}))
