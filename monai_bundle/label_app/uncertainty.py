"""Active learning: the image that the network is least sure of comes next."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from braintumor_ext.errors import plain_message
from braintumor_ext.files import sha256_of
from braintumor_ext.inference import Predictor, class_probabilities
from braintumor_ext.keys import IMAGE, MASK
from monai_bundle.label_app.bundle import Bundle
from monai_bundle.label_app.study import Study, read_study

logger = logging.getLogger(__name__)

SCORE = "uncertainty"
SCORED_BY = "uncertainty_checkpoint"


class UncertaintyScoring(ScoringMethod):
    """Store how unsure the network is of each unlabelled image: in the datastore's info of the image."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__("Entropy of the class and mean entropy of the mask, of the least certain slice")
        self.bundle = bundle

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Score the images that these weights have not scored yet; return how many, and how many could not be read."""
        checkpoint = sha256_of(self.bundle.root / "models" / "model.pt")
        predictor = self.bundle.predictor()
        scored = failed = 0
        for image_id in datastore.get_unlabeled_images():
            if datastore.get_image_info(image_id).get(SCORED_BY) == checkpoint:
                continue
            try:
                score = uncertainty(read_study(datastore.get_image_uri(image_id)), predictor)
            except Exception as error:  # one bad image must not keep the others from being scored
                logger.warning("%s is not scored: %s", image_id, plain_message(error) or error)
                failed += 1
                continue
            datastore.update_image_info(image_id, {SCORE: score, SCORED_BY: checkpoint})
            scored += 1
        return {"scored": scored, "failed": failed}


class MostUncertain(Strategy):
    """Choose the unlabelled image with the highest score; any of them where none is scored."""

    def __init__(self) -> None:
        super().__init__("The unlabelled image that the network is least sure of; a random one where none is scored")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Return the chosen image's id and its score."""
        images = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
        if not images:
            return None
        scores = {image_id: datastore.get_image_info(image_id).get(SCORE) for image_id in images}
        known = {image_id: score for image_id, score in scores.items() if score is not None}
        if not known:
            return {"id": random.choice(images)}
        best = max(known, key=lambda image_id: known[image_id])
        return {"id": best, SCORE: known[best]}


def uncertainty(study: Study, predictor: Predictor) -> float:
    """Return the uncertainty of the least certain slice, in [0, 2].

    It is the entropy of the class probabilities plus the mean entropy of the mask's pixels, each divided by its largest
    possible value.
    """
    worst = 0.0
    constants = predictor.postprocessor.calibration
    for start in range(0, len(study.slices), predictor.batch_size):
        part = study.slices[start : start + predictor.batch_size]
        images = torch.stack([predictor.preprocessing({IMAGE: slice_})[IMAGE].as_tensor() for slice_ in part])
        with torch.no_grad():
            output = predictor.network(images.to(predictor.device))
        shares = class_probabilities(output, 1.0 if constants is None else constants.temperature)
        pixels = torch.sigmoid(output[MASK].double()).flatten(1).cpu()
        both = _entropy(shares).sum(1) / np.log(shares.shape[1])
        both += (_entropy(pixels) + _entropy(1 - pixels)).mean(1) / np.log(2)
        worst = max(worst, float(both.max()))
    return worst


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    return -torch.special.xlogy(shares, shares)
