"""An inferer that also says why: for the bundle's inference, MONAI Label and MONAI Deploy alike."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.errors import InputError
from braintumor_ext.explain.explainer import METHODS, Explainer
from braintumor_ext.explain.layers import DEFAULT_LAYER, STAGES, stage_features
from braintumor_ext.flags import as_bool
from braintumor_ext.keys import CLASS, FEATURES, HEAT_MAP, HEAT_MAP_FLAGS
from braintumor_ext.networks import bfloat16_stages


class ExplainingInferer(SimpleInferer):
    """Run the network once; add a heat map of each prediction, and the features that tell an unusual input.

    Args:
        explain: ``none``, or a method of :class:`~braintumor_ext.explain.Explainer`.
        bfloat16: whether a ``BrainTumorNet`` on a CPU computes in bfloat16 what
            :func:`~braintumor_ext.networks.bfloat16_stages` says; of no effect where :func:`explained_in_float32`.

    Raises:
        InputError: there is no such method; valid ones are listed.
    """

    def __init__(
        self,
        explain: str | None = "gradcam",
        layer: str = DEFAULT_LAYER,
        head: str = CLASS,
        classes: Classes = CLASSES,
        explain_class: int | str | None = None,
        bfloat16: bool | str = False,
    ) -> None:
        super().__init__()
        self.explain = "none" if explain is None or explain in (False, "") else str(explain).lower()
        if self.explain not in ("none", *METHODS):
            raise InputError("--explain", f"there is no method {explain!r}", f"Valid are none, {', '.join(METHODS)}")
        self.layer, self.head, self.classes, self.explain_class = layer, head, classes, explain_class
        self.bfloat16 = as_bool(bfloat16) and not explained_in_float32(self.explain, layer, head)

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Return the network's output of ``inputs`` (B, C, H, W).

        A dictionary is given ``heat_map`` (B, 1, H, W) in [0, 1] with ``heat_map_flags``, and ``features`` (B, F).

        Raises:
            InputError: there is no such layer, head or class, or the network lacks the head; valid ones are listed.
        """
        output: Any
        rounded = bfloat16_stages(network) if self.bfloat16 and inputs.is_cpu else nullcontext()
        with stage_features(network) as means, rounded:
            if self.explain == "none":
                output = super().__call__(inputs, network, *args, **kwargs)
            else:
                try:
                    explainer = Explainer(network, self.explain, self.layer, self.head, self.classes)
                    explanation = explainer(inputs, self.explain_class)
                except ValueError as error:
                    problem = str(error).rstrip(".")
                    raise InputError(f"--explain {self.explain}", problem, "Or give --explain none") from error
                output = {**explanation.output, HEAT_MAP: explanation.maps, HEAT_MAP_FLAGS: explanation.flags}
        if means and isinstance(output, dict):
            output = {**output, FEATURES: torch.cat(means[: len(STAGES)], dim=1)}  # of the first forward pass
        return output


def explained_in_float32(explain: str | None, layer: str = DEFAULT_LAYER, head: str = CLASS) -> bool:
    """Return whether an explanation (``none`` or a method) of a layer for a head needs the whole network in float32.

    Grad-CAM and Grad-CAM++ of a class by the encoder's last layer do not: from there on all is float32 anyway.
    """
    method = str(explain).lower()
    gradients_are_float32 = method in ("gradcam", "gradcam++") and layer == DEFAULT_LAYER and head == CLASS
    return method in METHODS and not gradients_are_float32
