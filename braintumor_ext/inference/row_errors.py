"""What goes wrong with one slice costs its row, not the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from braintumor_ext.errors import LOOK_AT_IT, InputError, causes_of, unreadable

logger = logging.getLogger(__name__)


def describe(error: BaseException, name: str, problem: str = "could not be read", remedy: str = LOOK_AT_IT) -> str:
    """Return one line that says what is wrong with the input ``name``.

    MONAI wraps a transform's error; what says what is wrong is an :class:`InputError` among its causes. An error that
    nobody expected is told with the problem and the remedy given.
    """
    found = next((cause for cause in causes_of(error) if isinstance(cause, InputError)), None)
    if found is None:
        found = unreadable(name, error, problem, remedy)
        logger.debug("%s", found, exc_info=error)
    return f"{found.problem}. {found.remedy}."


@contextmanager
def told_in(
    row: dict[str, Any], name: str, problem: str = "could not be drawn or written", remedy: str = LOOK_AT_IT
) -> Iterator[None]:
    """Tell in a slice's row, as its ``error`` unless it has one, what went wrong in the block."""
    try:
        yield
    except OSError as error:  # a full disk, or an unwritable folder
        row["error"] = row.get("error") or f"could not be written ({error}). Free space, or give another --output_dir."
    except Exception as error:
        row["error"] = row.get("error") or describe(error, name, problem, remedy)
