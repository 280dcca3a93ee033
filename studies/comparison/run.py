"""Carry out one training of a comparison and its evaluations: ``python -m studies.comparison.run PLAN.json``.

It is a process of its own, so that its peak memory is its own and its end, whatever it is, is not the comparison's.
"""

from __future__ import annotations

import csv
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai.bundle
import torch

from braintumor_ext.engines.checkpointing import BEST, LAST
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.files import sha256_of, write_json
from studies.comparison.run_plan import RUN_JSON

NOT_LEARNT = ("running_mean", "running_var", "num_batches_tracked")


def carry_out(plan_path: Path) -> dict[str, Any]:
    """Train (or go on from ``last.pt``), evaluate the plan's sections, and write ``run.json``.

    ``last.pt`` is removed at the end: it is three times the size of ``model.pt``, which stays.

    Args:
        plan_path: see :meth:`~studies.comparison.run_plan.RunPlan.write`.

    Returns:
        What ``run.json`` holds.
    """
    plan = json.loads(plan_path.read_text(encoding="utf-8"))
    folder = plan_path.parent
    root, files = Path(plan["bundle_root"]), plan["config_files"]
    common = {
        "bundle_root": str(root),
        "logging_file": str(root / "configs" / "logging.conf"),
        "dataset_dir": plan["dataset_dir"],
        "datalist": plan["datalist"],
        "random_seed": plan["random_seed"],
        "ckpt_dir": str(folder / "models"),
        **plan["machine"],
        **plan["settings"],
    }
    monai.bundle.run(config_file=files, output_dir=str(folder / "training"), resume="auto", **common)
    peak = peak_memory_bytes()
    evaluate = [*files, str(root / "configs" / "evaluate.json")]
    # the comparison has its own baselines, and draws its own bootstrap of all runs together
    less: dict[str, Any] = {"validate::handlers#0::training_data": "$None", "validate::handlers#0::n_draws": 200}
    common = {name: value for name, value in common.items() if not name.startswith("network_def::")}  # the checkpoint's
    for section in plan["sections"]:
        target = str(folder / section)
        monai.bundle.run(config_file=evaluate, output_dir=target, split=section, **less, **common)
    checkpoint = folder / "models" / BEST
    done = {
        **{key: plan[key] for key in ("model", "split", "split_sha256", "sha256", "random_seed", "settings")},
        "checkpoint_sha256": sha256_of(checkpoint),
        "cost": {**_history(folder / "training" / "history.csv"), **_sizes(checkpoint), "peak_memory_bytes": peak},
        **provenance({}),
    }
    write_json(folder / RUN_JSON, done)
    (folder / "models" / LAST).unlink(missing_ok=True)
    return done


def peak_memory_bytes() -> int:
    """Return the most memory this process has held: of the GPU where there is one, else its resident set."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _history(path: Path) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as file:
        seconds = sorted(float(row["seconds"]) for row in csv.DictReader(file))
    return {
        "epochs": len(seconds),
        "seconds_per_epoch": seconds[len(seconds) // 2],
        "training_seconds": sum(seconds),
    }


def _sizes(checkpoint: Path) -> dict[str, int]:
    state: Mapping[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    learnt = sum(value.numel() for name, value in state.items() if not name.endswith(NOT_LEARNT))
    return {"parameters": learnt, "file_bytes": checkpoint.stat().st_size}


if __name__ == "__main__":
    started = time.monotonic()
    carry_out(Path(sys.argv[1]))
    logging.getLogger(__name__).info("Run finished in %.0f s.", time.monotonic() - started)
