"""The command: ``python -m monai_bundle.deploy_app -i DICOM_DIR -o OUT -m BUNDLE``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from monai_bundle.bundle_folder import problem_with, use_code_of

VARIABLES = {"input": "HOLOSCAN_INPUT_PATH", "output": "HOLOSCAN_OUTPUT_PATH", "model": "HOLOSCAN_MODEL_PATH"}
"""The SDK's own, which give the paths where the command line does not."""

_STACK = 32 * 2**20  # bytes; what Holoscan asks for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0, or 1 where the input cannot be predicted. It leaves with 2 where the command line is wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    for name, variable in VARIABLES.items():
        if getattr(options, name) is None:
            parser.error(f"give --{name}, or set {variable}")
    folder, output, bundle = (path.resolve() for path in (options.input, options.output, options.model))
    if not folder.is_dir():
        parser.error(f"{folder}: no such folder. Give the folder of a DICOM series.")
    if wrong := problem_with(bundle):
        parser.error(f"{bundle}: {wrong[0]}. {wrong[1]}.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        parser.error(f"{output}: exists already and is no empty folder. Give a new --output, or empty it.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{output}: cannot be made ({error.strerror}). Give another --output.")
    _prepare(options.log_level)
    use_code_of(bundle)
    return _run(folder, output, bundle, options.series)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m monai_bundle.deploy_app",
        description="Predict the MR series in a folder: DICOM segmentation and report, overlays, JSON.",
    )
    for name, metavar, text in (
        ("input", "DICOM_DIR", "the folder of the DICOM files, searched to any depth"),
        ("output", "OUT", "a new or an empty folder"),
        ("model", "BUNDLE", "the packed bundle's folder"),
    ):
        given = os.environ.get(VARIABLES[name])
        parser.add_argument(
            f"-{name[0]}",
            f"--{name}",
            type=Path,
            default=None if given is None else Path(given),
            metavar=metavar,
            help=f"{text} (default: ${VARIABLES[name]})",
        )
    parser.add_argument(
        "--series",
        type=_expression,
        metavar="REGEX",
        help="only series whose description matches this, whatever the case (default: all MR series)",
    )
    parser.add_argument(
        "-l",
        "--log-level",
        type=str.upper,
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        help="show the SDK's messages from this level on",
    )
    return parser


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression ({error})") from error
    return text


def _prepare(level: str | None) -> None:
    """Set what has to be set before the SDK is imported: its stack, its messages and ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if 0 <= soft < _STACK and (hard < 0 or hard >= _STACK):  # below 0: no limit
        resource.setrlimit(resource.RLIMIT_STACK, (_STACK, hard))
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "OFF" if level is None else level.replace("WARNING", "WARN"))
    logging.basicConfig(level=level or "ERROR", format="%(message)s")
    for name in ("monai_bundle", "braintumor_ext"):
        logging.getLogger(name).setLevel(level or "INFO")


def _run(folder: Path, output: Path, bundle: Path, wanted: str | None) -> int:
    from braintumor_ext.errors import plain_message
    from monai_bundle.deploy_app.app import BrainTumorApp

    try:
        BrainTumorApp(folder, output, bundle, wanted).run()
    except Exception as error:
        message = plain_message(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
