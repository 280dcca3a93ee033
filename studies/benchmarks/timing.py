"""Time calls in turns, so that a slow moment of the machine counts for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


def in_turns(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int = 7,
    budget: float = math.inf,
    device: str | torch.device = "cpu",
) -> dict[str, list[float]]:
    """Return each call's seconds in each round; a first, unmeasured round warms up.

    Args:
        calls: what is timed, by name.
        rounds: how often at most.
        budget: no round is begun after so many seconds, warming up included; but three are always made.
        device: where the calls compute; their work there is waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    begun = time.perf_counter()
    for turn in range(rounds + 1):
        if turn > 3 and time.perf_counter() - begun > budget:
            break
        for name, call in calls.items():
            _finish(device)
            started = time.perf_counter()
            call()
            _finish(device)
            if turn > 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def over(times: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return the ratio of each round.

    Args:
        times: seconds in each round.
        reference: those of what they are measured by, in the same rounds.
    """
    return [mine / of for mine, of in zip(times, reference, strict=True)]


def _finish(device: str | torch.device) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
