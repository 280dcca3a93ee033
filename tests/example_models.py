"""A checkpoint with its settings and calibration, as a training and a calibration leave them, in a few seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from braintumor_ext.calibration import Calibration, FeatureDetector, write_calibration
from braintumor_ext.classes import CLASSES
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.files import sha256_of
from braintumor_ext.keys import FEATURES
from braintumor_ext.networks import network_of_checkpoint
from braintumor_ext.networks.settings import write_settings
from tests.inference.bright_square_model import MEAN, SIZE, STD, square_slice, write_bright_square_model

TEMPERATURE = 1.7


def write_example_models(folder: Path) -> Path:
    """Write ``model.pt``, ``training.json`` and ``calibration.json``: masks outline bright squares, 64 px."""
    write_bright_square_model(folder)
    checkpoint = folder / "model.pt"
    settings = {**CLASSES.stored(), "in_channels": 3, "image_size": SIZE}
    write_settings(checkpoint, settings)
    features = _features(checkpoint)
    calibration = Calibration(
        temperature=TEMPERATURE,
        confidence_threshold=0.3,
        confidence_target=0.95,
        detector=FeatureDetector.fit(features[::2], features[1::2]),
        checkpoint=checkpoint.name,
        sha256=sha256_of(checkpoint),
        class_names=CLASSES.names,
        image_size=SIZE,
        fitted_on="validation",
        slices=len(features),
        groups=len(features),
        date="2026-01-01",
    )
    write_calibration(folder / "calibration.json", calibration)
    return folder


def _features(checkpoint: Path) -> np.ndarray:
    network = network_of_checkpoint(checkpoint)
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    places = np.random.default_rng(1).uniform(0.05, 0.7, size=(24, 2))
    greys = [square_slice(top=top, left=left, seed=100 + i)[0] for i, (top, left) in enumerate(places)]
    images = torch.stack([(torch.as_tensor(grey).expand(3, -1, -1) - MEAN) / STD for grey in greys])
    with torch.no_grad():
        return np.asarray(ExplainingInferer("none")(images, network.eval())[FEATURES])
