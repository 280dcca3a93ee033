"""Options that several studies' commands have."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint_dir`` and ``--device``: which checkpoint predicts, and where it runs."""
    parser.add_argument(
        "--checkpoint_dir",
        "--checkpoint-dir",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="folder of model.pt, training.json and calibration.json (default: %(default)s)",
    )
    parser.add_argument("--device", metavar="DEVICE", help="(default: a GPU if there is one)")
