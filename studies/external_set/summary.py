"""All numbers about one sequence of an external set, with intervals over patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.metrics import GroupBootstrap, SliceRecord
from braintumor_ext.metrics.bootstrap import Estimate
from braintumor_ext.metrics.classification import roc_auc

ANY_TUMOUR = "any tumour"


def tumour_scores(records: Sequence[SliceRecord], classes: Classes) -> dict[str, Any]:
    """Return what may rank slices with tumour before those without: a score's name to its values, (N,) in [0, 1].

    They are the probability of any tumour, and that of each tumour class which some slice truly has.
    """
    probabilities = np.array([record.probabilities for record in records])
    true = {record.true_class for record in records}
    return {
        ANY_TUMOUR: probabilities[:, list(classes.tumours.values())].sum(axis=1),
        **{name: probabilities[:, i] for name, i in classes.tumours.items() if i in true},
    }


def summarise_sequence(
    records: Sequence[SliceRecord], classes: Classes, n_draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Return all numbers about a sequence as JSON can hold them.

    ``raw`` is the mask head alone, ``gated`` counts its mask only where the predicted class has a tumour. Dice and
    detection are of the slices of a tumour class that have a tumour pixel in their true mask.

    Args:
        records: of tumour slices and slices without; ``group`` is the patient.
        classes: K of them, one without tumour.
        n_draws: draws of the bootstrap over patients.
        seed: the draws' seed.
    """
    records = sorted(records, key=lambda record: record.image)
    bootstrap = GroupBootstrap([record.group for record in records], n_draws, seed)
    tumour = np.array([record.true_class != classes.empty_index for record in records])
    called = np.array([record.predicted_class != classes.empty_index for record in records])
    outlined = np.array([record.mask_known and record.true_area_px > 0 for record in records]) & tumour
    area = np.array([record.pred_area_px for record in records])
    dice = np.array([record.dice for record in records])
    gates = {"raw": np.ones(len(records), dtype=bool), "gated": called}

    def share(hit: np.ndarray, of: np.ndarray) -> Estimate:
        return {"count": int((hit & of).sum()), **bootstrap.mean(np.where(of, hit, np.nan))}

    scores = tumour_scores(records, classes)
    flags = sorted({flag for record in records for flag in record.flags})
    flagged = {flag: np.array([flag in record.flags for record in records]) for flag in flags}
    return {
        "slices": len(records),
        "tumour_slices": int(tumour.sum()),
        "no_tumour_slices": int((~tumour).sum()),
        "patients": bootstrap.n_groups,
        "auc": {name: _auc(tumour, values, bootstrap) for name, values in scores.items()},
        "sensitivity": share(called, tumour),
        "specificity": share(~called, ~tumour),
        "called": {
            name: _counts([record for record in records if record.true_class == index], classes)
            for index, name in enumerate(classes)
            if any(record.true_class == index for record in records)
        },
        "mask_unknown": int((tumour & ~np.array([record.mask_known for record in records])).sum()),
        "dice": {
            gate: bootstrap.mean(np.where(outlined, np.where(kept, dice, 0.0), np.nan), median=True)
            for gate, kept in gates.items()
        },
        "overlap": {gate: share((dice > 0) & kept, outlined) for gate, kept in gates.items()},
        "any_pixel": {gate: share((area > 0) & kept, outlined) for gate, kept in gates.items()},
        "no_tumour_without_pixel": {gate: share(~((area > 0) & kept), ~tumour) for gate, kept in gates.items()},
        "flags": {
            flag: {"tumour": share(hit, tumour), "no_tumour": share(hit, ~tumour)} for flag, hit in flagged.items()
        },
    }


def _auc(tumour: np.ndarray, score: np.ndarray, bootstrap: GroupBootstrap) -> Estimate:
    columns = np.stack([-score, score], axis=1)
    draws = [roc_auc(tumour, columns, weights)[:, 1] for weights in bootstrap.slice_weights()]
    return {**bootstrap.estimate(roc_auc(tumour, columns)[1], np.concatenate(draws)), "n": len(tumour)}


def _counts(records: Sequence[SliceRecord], classes: Classes) -> dict[str, int]:
    counts = Counter(record.predicted_class for record in records)
    return {name: counts[index] for index, name in enumerate(classes)}
