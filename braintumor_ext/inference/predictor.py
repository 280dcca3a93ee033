"""Predictions from Python: a path, an array or a tensor in, a typed prediction out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from braintumor_ext.backends import backend_named, check_explanation, load_exported
from braintumor_ext.classes import Classes
from braintumor_ext.config_text import verbatim
from braintumor_ext.errors import InputError, unwrapped
from braintumor_ext.explain import DEFAULT_LAYER, ExplainingInferer
from braintumor_ext.inference.postprocessor import Postprocessor
from braintumor_ext.inference.precision import BFLOAT16
from braintumor_ext.inference.tolerant_dataset import TolerantDataset, collate_slices
from braintumor_ext.keys import ERROR, IMAGE, INDEX, PREDICTION, SLICE
from braintumor_ext.networks import read_settings
from braintumor_ext.prediction import Prediction

logger = logging.getLogger(__name__)

Source = str | PathLike[str] | np.ndarray | Tensor
"""One slice: a file, or an array (H, W), (C, H, W) or (H, W, C) as :class:`~braintumor_ext.transforms.LoadImageSlice`
takes it."""

CONFIG = "configs/inference.json"


class Predictor:
    """Predict slices one by one or many at once; the same numbers as the bundle's inference.

    Args:
        network: gives ``{"class": (B, K), "mask": (B, 1, H, W)}`` logits.
        preprocessing: from ``{"image": a source, "slice": an index}`` to an item whose ``image`` the network takes.
        postprocessor: from the network's output to predictions; it knows the classes and the calibration.
        bfloat16: whether to compute in bfloat16 on a CPU; see :class:`~braintumor_ext.explain.ExplainingInferer`.

    Example::

        >>> predictor = Predictor.from_bundle(".")
        >>> prediction = predictor("slice.png", explain="gradcam")
        >>> prediction.label, prediction.confidence, prediction.heat_map.shape
        >>> save_overlay(prediction, "slice_overlay.png")
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        postprocessor: Postprocessor,
        device: str | torch.device = "cpu",
        batch_size: int = 32,
        bfloat16: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.preprocessing, self.postprocessor = preprocessing, postprocessor
        self.batch_size, self.bfloat16 = batch_size, bfloat16

    @property
    def classes(self) -> Classes:
        """The classes that it tells apart."""
        return self.postprocessor.classes

    @classmethod
    def from_bundle(
        cls,
        root: str | PathLike[str],
        checkpoint: str | PathLike[str] | None = None,
        device: str | torch.device | None = None,
        **overrides: Any,
    ) -> Predictor:
        """Return the predictor that a bundle's ``configs/inference.json`` describes.

        Args:
            checkpoint: the weights; None for the bundle's own ``models/model.pt``. What ``training.json`` beside it
                tells of its classes, channels and size goes before the config's, and ``calibration.json`` beside it is
                used.
            device: where to run; None for a GPU if there is one.
            overrides: other values of the config, as its command line takes them: ``image_size=96``;
                ``backend="onnx"`` runs an exported network, which tells its classes, channels and size itself.

        Raises:
            InputError: the bundle or the checkpoint cannot be used; what is wrong is named.
        """
        config = Path(root) / CONFIG
        if not config.is_file():
            raise InputError(root, f"is no bundle (it has no {CONFIG})", "Give the bundle's root folder")
        parser = ConfigParser()
        parser.read_config(str(config))
        given: dict[str, Any] = {"bundle_root": verbatim(fspath(root))}
        if checkpoint is not None:
            given["checkpoint"] = verbatim(fspath(checkpoint))
            given["calibration"] = verbatim(str(Path(checkpoint).with_name("calibration.json")))
        if device is not None:
            given["device"] = verbatim(str(device))
        parser.update({**given, **overrides})
        with unwrapped():
            weights = parser.get_parsed_content("checkpoint")
            settings = read_settings(weights)
            backend = backend_named(parser.get_parsed_content("backend"))
            if backend is not None:
                where = (parser.get_parsed_content(name) for name in ("exported", "device"))
                description = load_exported(backend, weights, *where).description
                settings = {**vars(description), **description.classes.stored()}
            for name, value in settings.items():
                if name in ("class_names", "empty_class", "in_channels", "image_size") and name not in overrides:
                    parser[name] = verbatim(value)
            parser.get_parsed_content("checkpointloader")
            parts = ("network", "preprocessing", "postprocessor", "device", "batch_size")
            found = {name: parser.get_parsed_content(name) for name in parts}
            return cls(**found, bfloat16=parser.get_parsed_content("precision") == BFLOAT16)

    @overload
    def __call__(
        self,
        x: Source,
        explain: str | None = ...,
        slice_index: int | None = ...,
        layer: str = ...,
        head: str = ...,
        explain_class: int | str | None = ...,
    ) -> Prediction: ...
    @overload
    def __call__(
        self,
        x: list[Source] | tuple[Source, ...],
        explain: str | None = ...,
        slice_index: int | None = ...,
        layer: str = ...,
        head: str = ...,
        explain_class: int | str | None = ...,
    ) -> list[Prediction]: ...
    def __call__(
        self,
        x: Source | list[Source] | tuple[Source, ...],
        explain: str | None = None,
        slice_index: int | None = None,
        layer: str = DEFAULT_LAYER,
        head: str = "class",
        explain_class: int | str | None = None,
    ) -> Prediction | list[Prediction]:
        """Predict a slice, or a list of slices.

        Args:
            x: a path, an array or a tensor; or a list (or tuple) of these.
            explain: how to explain the prediction: ``gradcam``, ``gradcam++``, ``occlusion``, ``smoothgrad``,
                ``attention``; None for no heat map.
            slice_index: 0-based index of the slice in a volume, the same for all.
            head: ``class`` or ``mask``: which prediction is explained.
            explain_class: the class to explain, an index or a name; None for the predicted one.

        Returns:
            A prediction, or a list of them in the same order. In a list, a slice that cannot be read has an ``error``
            and the others are predicted.

        Raises:
            InputError: a single slice cannot be read, or its prediction is not finite.
            ValueError: an unknown method, layer, head or class; valid ones are listed.
        """
        sources: list[Any] = list(x) if isinstance(x, list | tuple) else [x]
        check_explanation(explain, self.network)
        inferer = ExplainingInferer(
            explain, layer, head, self.classes, explain_class=explain_class, bfloat16=self.bfloat16
        )
        extra = {} if slice_index is None else {SLICE: slice_index}
        names = [fspath(one) if isinstance(one, str | PathLike) else f"array {n}" for n, one in enumerate(sources)]
        items = [{IMAGE: source, "name": name, **extra} for source, name in zip(sources, names, strict=True)]
        dataset = TolerantDataset(items, self.preprocessing, keep_grey=True)
        found: list[Prediction] = []
        for start in range(0, len(items), self.batch_size):
            entries = [dataset[index] for index in range(start, min(start + self.batch_size, len(items)))]
            predicted = {entry[INDEX]: Prediction("", error=entry[ERROR]) for entry in entries}
            if good := [entry for entry in entries if not entry[ERROR]]:
                batch = collate_slices(good)
                images = batch[IMAGE].to(self.device, memory_format=torch.channels_last)
                with torch.no_grad():
                    batch["pred"] = inferer(images, self.network)
                predicted.update(zip(batch[INDEX].tolist(), self.postprocessor(batch)[PREDICTION], strict=True))
            found += [replace(one, source=items[index]["name"]) for index, one in predicted.items()]
        return found if isinstance(x, list | tuple) else found[0].checked()
