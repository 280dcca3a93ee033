"""The packed bundle through the SDK's bundle operator: one prediction for each slice of each series."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.deploy.core import AppContext, Fragment, Image, IOType, OperatorSpec
from monai.deploy.operators import BundleConfigNames, IOMapping, MonaiBundleInferenceOperator

from braintumor_ext.dicom_output import read_algorithm
from braintumor_ext.errors import InputError, unwrapped
from braintumor_ext.inference import Postprocessor, TolerantDataset
from braintumor_ext.keys import ERROR, GREY, IMAGE, META, PREDICTION
from braintumor_ext.networks.settings import read_settings
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms import ToUnitGrey
from monai_bundle.deploy_app.predicted_series import ModelIdentity, PredictedSeries
from monai_bundle.deploy_app.series_to_volumes import SLICES

SERIES, PREDICTIONS = "image", "predictions"  # the operator's ports


class SlicesBundleOperator(MonaiBundleInferenceOperator):
    """Run a bundle of slices on series: preprocessing, inferer, network and calibration are the bundle's own.

    The SDK's operator runs a bundle on one volume and passes on what its postprocessing makes of the network's first
    output. Here a volume goes through the bundle as a batch of slices, and each output becomes a prediction.
    """

    def __init__(self, fragment: Fragment, *args: Any, bundle: Path, app_context: AppContext, **kwargs: Any) -> None:
        super().__init__(
            fragment,
            *args,
            app_context=app_context,
            input_mapping=[IOMapping(SERIES, Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping(PREDICTIONS, list, IOType.IN_MEMORY)],
            bundle_path=bundle,
            bundle_config_names=BundleConfigNames(config_names=["inference"]),
            **kwargs,
        )

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports: a list of selected series with their images, and one of predicted series."""
        spec.input(SERIES)
        spec.output(PREDICTIONS)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Predict every series, one after the other, by the SDK's operator."""
        predicted = []
        for selected in op_input.receive(SERIES):
            port = _Port(selected.image)
            super().compute(port, port, context)
            headers = [instance.get_native_sop_instance() for instance in selected.series.get_sop_instances()]
            predicted.append(PredictedSeries(tuple(headers), tuple(port.sent), self.model))
        op_output.emit(predicted, PREDICTIONS)

    def _init_config(self, config_names: list[str]) -> None:
        # The configs call the bundle's root ".", and the SDK does not tell them where it is.
        with unwrapped(), contextlib.chdir(self.bundle_path):
            super()._init_config(config_names)
            content = {
                name: self.parser.get_parsed_content(name)
                for name in ("class_names", "image_size", "batch_size", "postprocessor")
            }
        self._check_settings(content)
        self._outputs = {PREDICTIONS: {"type": list}}
        self._batch_size = int(content["batch_size"])
        self._postprocessor: Postprocessor = content["postprocessor"]
        calibration = self._postprocessor.calibration
        self.model = ModelIdentity(
            algorithm=read_algorithm(self.bundle_path / "configs" / "metadata.json", self._checkpoint),
            classes=self._postprocessor.classes,
            calibration=None if calibration is None else str(calibration),
            explained_by=self._inferer.explain,
        )

    @property
    def _checkpoint(self) -> Path:
        return self.bundle_path / "models" / "model.pt"

    def _check_settings(self, content: Mapping[str, Any]) -> None:
        """Refuse weights that were trained with other settings than the configs', which the SDK would just use."""
        for name, trained in read_settings(self._checkpoint).items():
            if name in ("class_names", "image_size") and content[name] != trained:
                problem = f"was trained with {name} {trained}, and the bundle's configs say {content[name]}"
                raise InputError(self._checkpoint, problem, "Pack it by python -m monai_bundle.pack")

    def pre_process(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return a volume's slices as the network takes them.

        Args:
            data: ``image``: (columns, rows, slices), the SDK's order, values as the bundle's reader gives them.

        Returns:
            ``image``: (slices, C, h, w); its metadata hold those of each slice, its error, and the slice in grey.
        """
        volume = data[IMAGE]
        planes = [plane.as_tensor().T[None].contiguous() for plane in volume.unbind(-1)]
        images = [MetaTensor(plane, meta=dict(m)) for plane, m in zip(planes, volume.meta[SLICES], strict=True)]
        items = [{IMAGE: image, "name": image.meta["filename_or_obj"]} for image in images]
        dataset = TolerantDataset(items, super().pre_process)
        entries = [dataset[index] for index in range(len(items))]
        stack = torch.stack([entry[IMAGE].as_tensor() for entry in entries])
        to_grey = ToUnitGrey()
        pairs = zip(images, entries, strict=True)
        greys = [None if entry[ERROR] else to_grey(image).as_tensor()[0] for image, entry in pairs]
        told = {SLICES: volume.meta[SLICES], ERROR: [entry[ERROR] for entry in entries], GREY: greys}
        return {IMAGE: MetaTensor(stack, meta=told)}

    def predict(self, data: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[dict[str, Any]]:
        """Return the network's output of (1, slices, C, h, w).

        In a tuple: of what is returned the SDK goes on with the first element, which of a dictionary is a key.
        """
        batches = [
            super(SlicesBundleOperator, self).predict(
                data=part.as_subclass(torch.Tensor).contiguous(memory_format=torch.channels_last)
            )
            for part in data[0].split(self._batch_size)
        ]
        return ({name: _joined([batch[name] for batch in batches]) for name in batches[0]},)

    def post_process(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, list[Prediction]]:
        """Return one prediction for each slice, on its own grid; what could not be read has an ``error``."""
        meta = kwargs[self.kw_preprocessed_inputs][IMAGE].meta
        batch = {"pred": data, META: meta[SLICES], ERROR: meta[ERROR], GREY: meta[GREY]}
        return {PREDICTIONS: self._postprocessor(batch)[PREDICTION]}

    def _send_output(self, value: Any, name: str, metadata: Any, op_output: Any, context: Any) -> None:
        """Pass the predictions on as they are; the SDK's own form of class probabilities cuts them to whole numbers."""
        op_output.emit(value, name)


def _joined(parts: list[Any]) -> Any:
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else [value for part in parts for value in part]


class _Port:
    """Hands one image to the SDK's operator and takes what it sends."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.sent: list[Prediction] = []

    def receive(self, name: str) -> Image:
        return self.image

    def emit(self, value: list[Prediction], name: str) -> None:
        self.sent = value
