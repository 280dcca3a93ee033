"""A network that was read from an exported file, called as the one that it was made from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from braintumor_ext.backends.description import Description
from braintumor_ext.backends.heads_and_features import OUTPUTS
from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of
from braintumor_ext.networks import MINIMUM_SIZE

logger = logging.getLogger(__name__)


class ExportedNetwork(nn.Module):
    """Takes images (B, C, H, W) and gives ``class`` (B, K), ``mask`` (B, 1, H, W) and ``features`` (B, F).

    It takes the place of the eager network in the evaluator, the inferer and the predictor. It gives no gradients and
    has no layers to look into.

    Args:
        run: from a float32 tensor to the outputs by name, on the same device.
        description: what the file, ``path``, says of itself.
    """

    def __init__(
        self, run: Callable[[Tensor], dict[str, Tensor]], description: Description, path: Path, backend: str
    ) -> None:
        super().__init__()
        self.run = run  # a TorchScript module becomes a submodule here, and moves with this one
        self.description = description
        self.path, self.backend = path, backend

    @property
    def checkpoint_sha256(self) -> str:
        """SHA-256 of the checkpoint that it was exported from."""
        return self.description.sha256

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of images (B, C, H, W).

        Raises:
            ValueError: when H or W is below 32, or C is not the network's.
        """
        if min(x.shape[2:]) < MINIMUM_SIZE or x.shape[1] != self.description.in_channels:
            wanted = f"(B, {self.description.in_channels}, H, W) with H and W of at least {MINIMUM_SIZE}"
            raise ValueError(f"images {wanted} are needed, got {tuple(x.shape)}.")
        images = x.as_subclass(Tensor) if type(x) is not Tensor else x  # a MetaTensor's upkeep is of no use here
        with torch.no_grad():
            return self.run(images.float())

    def check(self, checkpoint: str | Path, classes: Classes, in_channels: int, image_size: int) -> None:
        """Compare what it was exported from with what is in use; a checkpoint that does not exist is not compared.

        Raises:
            InputError: it is of another checkpoint, of other classes or channels. Another size is a warning.
        """
        known = self.description
        again = f"Export it again: python -m scripts.export --checkpoint {checkpoint} --format {self.backend}"
        if Path(checkpoint).is_file() and sha256_of(checkpoint) != known.sha256:
            raise InputError(self.path, f"exported from another {known.checkpoint} than {checkpoint}", again)
        if classes.names != known.classes.names:
            problem = f"exported for the classes {', '.join(known.classes)}, not {', '.join(classes)}"
            raise InputError(self.path, problem, f'Give --class_names "{list(known.classes)}"')
        if int(in_channels) != known.in_channels:
            problem = f"takes {known.in_channels} channels, not {in_channels}"
            raise InputError(self.path, problem, f"Give --in_channels {known.in_channels}")
        if int(image_size) != known.image_size:
            text = "%s is of a network trained with image_size %d, not %s: give --image_size %d"
            logger.warning(text, self.path, known.image_size, image_size, known.image_size)


def on_arrays(call: Callable[[np.ndarray], Sequence[np.ndarray]]) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function of tensors that runs one of arrays: the runtimes that know nothing of torch, on the CPU.

    ``call`` takes a C-contiguous float32 array (B, C, H, W) to the outputs in the order of ``OUTPUTS``.
    """

    def run(images: Tensor) -> dict[str, Tensor]:
        outputs = map(torch.from_numpy, map(np.array, call(images.detach().cpu().contiguous().numpy())))
        return {name: output.to(images.device) for name, output in zip(OUTPUTS, outputs, strict=True)}

    return run
