"""What a report's numbers belong to."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from braintumor_ext.engines.precision import mixed_precision_supported
from braintumor_ext.files import sha256_of


def provenance(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings with the date, the hardware, torch's version and the checkpoint's SHA-256."""
    known = dict(context)
    checkpoint = known.get("checkpoint")
    if checkpoint and Path(checkpoint).is_file():
        known["checkpoint"] = Path(checkpoint).name
        known["checkpoint_sha256"] = sha256_of(checkpoint)
    return {**known, "date": time.strftime("%Y-%m-%d"), "hardware": hardware(), "torch": torch.__version__}


def hardware() -> str:
    """Return the GPU's name; without one, the CPU's kind with what decides its speed and precision."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    precision = ", bfloat16" if mixed_precision_supported("cpu") else ""
    return f"CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}{precision})"
