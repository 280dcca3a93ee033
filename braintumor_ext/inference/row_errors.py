"""What goes wrong with one slice costs its row, not the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from braintumor_ext.errors import InputError

logger = logging.getLogger(__name__)


@contextmanager
def told_in(
    row: dict[str, Any],
    name: str,
    problem: str = "could not be drawn or written",
    remedy: str = "Open it in a viewer, or leave it out",
) -> Iterator[None]:
    """Tell in a slice's row what could not be drawn or written of it; what else there is of it goes on.

    Args:
        row: its ``error`` becomes what is wrong, unless another error was told before.
        name: the slice's name, for the log.
        problem: what the row says of an error that nobody expected.
        remedy: what the row says to do about it.
    """
    try:
        yield
    except OSError as error:  # a full disk, or an unwritable folder
        told = f"could not be written ({error}). Free space, or give another --output_dir."
    except InputError as error:  # the file has changed or gone since it was read, or lacks what its mask needs
        told = f"{error.problem}. {error.remedy}."
    except Exception as error:  # whatever it is, it costs one row
        logger.debug("%s %s.", name, problem, exc_info=error)
        told = f"{problem} ({type(error).__name__}: {(str(error).splitlines() or [''])[0]}). {remedy}."
    else:
        return
    row["error"] = row.get("error") or told
