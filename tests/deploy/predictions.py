"""What the DICOM objects of a run say, read element by element, and its comparison with other sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pydicom

from braintumor_ext.prediction import Prediction
from tests.deploy.conftest import Ran

PROBABILITY = "Probability of "


def masks_by_image(segmentation: pydicom.Dataset) -> dict[str, np.ndarray]:
    """Return each frame of a segmentation, (rows, columns) bool, by the SOP Instance UID of the image it is of."""
    frames = np.atleast_3d(segmentation.pixel_array).reshape(-1, segmentation.Rows, segmentation.Columns)
    found = {}
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        found[str(source.ReferencedSOPInstanceUID)] = frame > 0
    return found


def positions_by_image(segmentation: pydicom.Dataset) -> dict[str, np.ndarray]:
    """Return the position of each frame of a segmentation, (3,) mm, by the image it is of."""
    return {
        str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID): np.array(
            groups.PlanePositionSequence[0].ImagePositionPatient, float
        )
        for groups in segmentation.PerFrameFunctionalGroupsSequence
    }


def groups_of(report: pydicom.Dataset) -> list[dict[str, Any]]:
    """Return the measurement groups of a report: ``name``, ``finding`` (value, scheme), ``images``, ``numbers``."""
    groups = []
    for item in _items(report):
        if _concept(item) != "Measurement Group":
            continue
        group: dict[str, Any] = {"name": None, "finding": None, "images": [], "segments": [], "numbers": {}}
        for part in item.ContentSequence:
            if _concept(part) == "Tracking Identifier":
                group["name"] = part.TextValue
            elif _concept(part) == "Finding":
                code = part.ConceptCodeSequence[0]
                group["finding"] = (code.CodeValue, code.CodingSchemeDesignator)
            elif part.ValueType == "IMAGE":
                reference = part.ReferencedSOPSequence[0]
                kind = "segments" if "ReferencedSegmentNumber" in reference else "images"
                group[kind].append(str(reference.ReferencedSOPInstanceUID))
            elif part.ValueType == "NUM":
                group["numbers"][_concept(part)] = float(part.MeasuredValueSequence[0].NumericValue)
        groups.append(group)
    return groups


def probabilities_of(group: Mapping[str, Any]) -> list[float]:
    """Return a group's class probabilities in the order of the classes."""
    return [value for name, value in group["numbers"].items() if name.startswith(PROBABILITY)]


def assert_equal_to_predictor(ran: Ran, predictions: Mapping[str, Prediction], uid: str | None = None) -> None:
    """Check that JSON, SEG and SR of a series say what the predictor says of the same files.

    Args:
        ran: the run.
        predictions: the predictor's predictions by SOP Instance UID.
        uid: which series; None for the only one.
    """
    rows = {row["sop_instance_uid"]: row for row in ran.series(uid)["slices"]}
    masks = masks_by_image(ran.segmentation(uid))
    groups = {group["images"][0]: group for group in groups_of(ran.report(uid)) if len(group["images"]) == 1}
    assert rows.keys() == masks.keys() == groups.keys() == predictions.keys()
    for image, prediction in predictions.items():
        assert prediction.probabilities is not None
        wanted = list(prediction.probabilities.values())
        np.testing.assert_allclose(list(rows[image]["probabilities"].values()), wanted, rtol=0, atol=1e-4)
        np.testing.assert_allclose(probabilities_of(groups[image]), wanted, rtol=0, atol=1e-4)
        # float32 rounds otherwise in another batch, in the predictor itself too: a pixel at the threshold may flip
        assert np.count_nonzero(masks[image] != prediction.mask) <= 2
        assert rows[image]["label"] == prediction.label
        assert rows[image]["area_px"] == masks[image].sum()
        assert rows[image]["flags"] == list(prediction.flags)


def _concept(item: pydicom.Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""


def _items(node: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    for item in node.get("ContentSequence", []):
        yield item
        yield from _items(item)
