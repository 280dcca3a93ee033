"""ONNX, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from braintumor_ext.backends.backend import Backend, needed
from braintumor_ext.backends.description import METADATA_KEY, Description
from braintumor_ext.backends.exported_network import ExportedNetwork, on_arrays
from braintumor_ext.backends.heads_and_features import INPUT, OUTPUTS, HeadsAndFeatures
from braintumor_ext.backends.seal import BLANK, seal
from braintumor_ext.networks import MINIMUM_SIZE


class Onnx(Backend):
    """One ``.onnx`` file that holds its weights."""

    name = "onnx"
    suffix = ".onnx"

    def convert(self, network: HeadsAndFeatures, images: Tensor) -> Any:
        """Return the ``torch.onnx.ONNXProgram``."""
        for package in ("onnx", "onnxscript"):
            needed(package, self.name)
        shapes = {0: Dim("batch"), 2: Dim("height", min=MINIMUM_SIZE), 3: Dim("width", min=MINIMUM_SIZE)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own making
            program = torch.onnx.export(
                network,
                (images,),
                dynamo=True,
                dynamic_shapes={INPUT: shapes},
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                external_data=False,
                verbose=False,
            )
        assert program is not None
        program.model.graph.metadata_props.clear()
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # how torch came to it: stack traces with this machine's paths
        return program

    def save(self, model: Any, path: Path, description: Description) -> None:
        """Write the program with its description as a metadata property."""
        model.model.metadata_props[METADATA_KEY] = replace(description, content_sha256=BLANK).to_json()
        model.save(str(path), external_data=False)
        seal(path)

    def load(self, path: Path, device: torch.device) -> ExportedNetwork:
        """Start a session of ONNX Runtime's CPU provider, with as many threads as PyTorch has."""
        onnxruntime = needed("onnxruntime", self.name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "")
        run = on_arrays(lambda images: session.run(list(OUTPUTS), {INPUT: images}))
        return ExportedNetwork(run, Description.from_json(text), path, self.name)
