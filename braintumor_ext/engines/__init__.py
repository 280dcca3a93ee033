"""What MONAI's engines need beside the network: batches, schedule, precision, and handlers."""

from braintumor_ext.engines.checkpointing import TrainingFiles
from braintumor_ext.engines.evaluation import EvaluationReport, evaluation_inferer
from braintumor_ext.engines.history import EpochLine, TrainingHistory
from braintumor_ext.engines.optimization import GradientClipping, WarmupCosineLR, parameter_groups, warmup_length
from braintumor_ext.engines.precision import MixedPrecisionInferer, mixed_precision_supported, set_cuda_options
from braintumor_ext.engines.prepare_batch import PrepareBatch, ProgressiveSize, prepare_slices
from braintumor_ext.engines.reproducibility import SeedEachEpoch
from braintumor_ext.engines.training_loss import TrainingLoss
from braintumor_ext.engines.validation import EarlyStopping, ValidateEvery
from braintumor_ext.engines.weight_averaging import WeightAveraging

__all__ = [
    "EarlyStopping",
    "EpochLine",
    "EvaluationReport",
    "GradientClipping",
    "MixedPrecisionInferer",
    "PrepareBatch",
    "ProgressiveSize",
    "SeedEachEpoch",
    "TrainingFiles",
    "TrainingHistory",
    "TrainingLoss",
    "ValidateEvery",
    "WarmupCosineLR",
    "WeightAveraging",
    "evaluation_inferer",
    "mixed_precision_supported",
    "parameter_groups",
    "prepare_slices",
    "set_cuda_options",
    "warmup_length",
]
