"""Which precision an inference computes in."""

from __future__ import annotations

import logging

import torch
from torch import nn

from braintumor_ext.backends.exported_network import ExportedNetwork
from braintumor_ext.calibration.calibration import Calibration
from braintumor_ext.errors import InputError
from braintumor_ext.explain import DEFAULT_LAYER, explained_in_float32
from braintumor_ext.flags import as_bool
from braintumor_ext.keys import CLASS
from braintumor_ext.networks import cpu_has_bfloat16, has_bfloat16_stages

logger = logging.getLogger(__name__)

AUTO = "auto"
FLOAT32, BFLOAT16, FLOAT16, EXPORTED = "float32", "bfloat16", "float16", "the export's"


def inference_precision(
    amp: bool | str,
    network: nn.Module,
    device: str | torch.device = "cpu",
    calibration: Calibration | None = None,
    explain: str | None = None,
    layer: str = DEFAULT_LAYER,
    head: str = CLASS,
) -> str:
    """Return the precision to compute in, and tell it in the log with the reason.

    Args:
        amp: ``auto``: bfloat16 on a CPU that multiplies in it, if the calibration says that the predictions agree with
            those in float32; otherwise float32. True: bfloat16 on any CPU, float16 on CUDA. False: float32.
        explain: how predictions are explained, by ``layer`` for ``head``: ``none`` or a method.

    Returns:
        ``float32``, ``bfloat16`` or ``float16``; of an exported network, which has its own, ``the export's``.

    Raises:
        InputError: ``amp`` is none of these.
    """
    automatic = str(amp).strip().lower() == AUTO
    try:
        wanted = automatic or as_bool(amp)
    except ValueError as error:
        raise InputError(f"--amp {amp}", "there is no such value", "Valid are auto, true, false") from error
    kind = torch.device(device).type
    if isinstance(network, ExportedNetwork):
        precision, reason = EXPORTED, "amp has no effect on it"
    elif not wanted:
        precision, reason = FLOAT32, "as asked for"
    elif kind != "cpu":
        usable = kind == "cuda" and not automatic
        precision, reason = (FLOAT16, "as asked for") if usable else (FLOAT32, f"always so on {kind} unless asked for")
    elif not has_bfloat16_stages(network):
        precision, reason = FLOAT32, f"there is no other for a {type(network).__name__} on a CPU"
    elif explained_in_float32(explain, layer, head):
        precision, reason = FLOAT32, f"the heat maps need it ({explain} of {head} by {layer})"
    elif not automatic:
        precision, reason = BFLOAT16, "as asked for"
    else:
        precision, reason = _automatic(calibration)
    logger.info("Computed in %s: %s.", precision, reason)
    return precision


def _automatic(calibration: Calibration | None) -> tuple[str, str]:
    if not cpu_has_bfloat16():
        return FLOAT32, "this CPU has no bfloat16"
    if calibration is None:
        return FLOAT32, "without a calibration nobody knows whether bfloat16 gives the same predictions"
    if calibration.bfloat16 is None:
        return FLOAT32, "the calibration does not tell whether bfloat16 gives the same predictions"
    if not calibration.bfloat16.holds:
        return FLOAT32, f"bfloat16 changes the predictions too much ({calibration.bfloat16})"
    return BFLOAT16, f"the predictions agree with those in float32 ({calibration.bfloat16})"
