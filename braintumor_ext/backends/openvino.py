"""OpenVINO's intermediate representation, run by OpenVINO on the CPU."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.backends.backend import Backend, needed
from braintumor_ext.backends.description import METADATA_KEY, Description
from braintumor_ext.backends.exported_network import ExportedNetwork, on_arrays
from braintumor_ext.backends.heads_and_features import INPUT, OUTPUTS, HeadsAndFeatures
from braintumor_ext.backends.seal import BLANK, seal


class OpenVino(Backend):
    """An ``.xml`` file with the graph, and a ``.bin`` file of the same name with the weights."""

    name = "openvino"
    suffix = ".xml"

    def convert(self, network: HeadsAndFeatures, images: Tensor) -> Any:
        """Return the ``openvino.Model``."""
        shape = [-1, images.shape[1], -1, -1]
        openvino = self.runtime()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it traces the network, and tracing is deprecated
            return openvino.convert_model(network, example_input=images, input=(INPUT, shape))

    def save(self, model: Any, path: Path, description: Description) -> None:
        """Write graph and weights as they are, none rounded to float16, with the description in ``rt_info``."""
        model.set_rt_info(replace(description, content_sha256=BLANK).to_json(), [METADATA_KEY])
        self.runtime().save_model(model, str(path), compress_to_fp16=False)
        seal(path, self.others(path))

    def others(self, path: Path) -> list[Path]:
        """Return the file of the weights."""
        return [path.with_suffix(".bin")]

    def load(self, path: Path, device: torch.device) -> ExportedNetwork:
        """Compile for the CPU, in float32 (it would take bfloat16 where the processor has it); int8 stays int8."""
        openvino = self.runtime()
        core = openvino.Core()
        model = core.read_model(str(path))
        if not model.has_rt_info([METADATA_KEY]):
            raise ValueError("it holds no description")
        text = model.get_rt_info([METADATA_KEY]).astype(str)
        hints = {
            "INFERENCE_PRECISION_HINT": openvino.Type.f32,
            "EXECUTION_MODE_HINT": "ACCURACY",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        compiled = core.compile_model(model, "CPU", hints)

        def call(images: Any) -> list[Any]:
            outputs = compiled({INPUT: images})
            return [outputs[name] for name in OUTPUTS]

        return ExportedNetwork(on_arrays(call), Description.from_json(text), path, self.name)

    def runtime(self) -> Any:
        """Import OpenVINO without its telemetry, which reports each import to its maker unless one has opted out."""
        if "openvino" not in sys.modules:
            sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: cannot be imported
        return needed("openvino", self.name)
