"""The same numbers from the same seed, in a training that ran through and in one that was resumed."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.data import set_rnd
from monai.transforms import Randomizable
from monai.utils import set_determinism
from torch.backends import cudnn
from torch.utils.data import Dataset


class SeedEachEpoch:
    """Seed all random numbers at the start of each epoch, from the seed, the epoch and the process's rank.

    An epoch's augmentation, order and dropout then depend on nothing that came before, so a resumed training goes on
    exactly as if it had never stopped. The dataset's random transforms and what augments batches are seeded too.
    """

    def __init__(self, seed: int, dataset: Dataset, rank: int = 0, augment: Randomizable | None = None) -> None:
        self.seed, self.dataset, self.rank, self.augment = seed, dataset, rank, augment

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed this epoch."""
        seed = (self.seed + 1_000_003 * engine.state.epoch + 7_919 * self.rank) % 2**31
        # The numbers alone: which algorithms compute was chosen when the training began.
        chosen = cudnn.deterministic, cudnn.benchmark
        set_determinism(seed=seed, use_deterministic_algorithms=None)
        cudnn.deterministic, cudnn.benchmark = chosen
        set_rnd(self.dataset, seed=seed)
        if self.augment is not None:
            self.augment.set_random_state(seed=seed)
