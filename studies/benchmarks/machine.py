"""What a benchmark's figures belong to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "monai", "onnxruntime", "openvino", "nncf")


def machine() -> dict[str, Any]:
    """Return the processor with what decides its speed, the GPU if any, cores, load, versions and the date."""
    return {
        "cpu": _cpu(),
        "instructions": _instructions(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": _versions(),
        "date": time.strftime("%Y-%m-%d"),
    }


def described(facts: dict[str, Any]) -> str:
    """Return the machine in one sentence."""
    cpu = f"{facts['cpu']} ({facts['instructions']})"
    place = cpu if facts["gpu"] is None else f"{facts['gpu']}, beside {cpu}"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = "" if facts["load"] is None else f" (load at the start {facts['load']:.1f})"
    return f"{place}, {facts['cores']} cores{load}, Python {facts['python']}, {versions}, {facts['date']}."


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _instructions() -> str:
    """Name the widest vectors and how the processor multiplies in bfloat16, which decides what that precision gains."""
    if torch.cpu._is_amx_tile_supported():
        bfloat16 = "bfloat16 matrix units (AMX)"
    elif torch.cpu._is_avx512_bf16_supported():
        bfloat16 = "bfloat16 products (AVX512_BF16), no matrix units"
    else:
        bfloat16 = "no bfloat16"
    return f"{torch.backends.cpu.get_cpu_capability()}, {bfloat16}"


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
