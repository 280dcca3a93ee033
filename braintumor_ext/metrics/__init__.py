"""How good the predictions are: scores, their intervals, and the records of slices that they are made from."""

from braintumor_ext.metrics.bootstrap import GroupBootstrap, group_bootstrap
from braintumor_ext.metrics.evaluation_summary import summarise_evaluation
from braintumor_ext.metrics.joint_score import JointScore
from braintumor_ext.metrics.records import SliceRecord, read_records, write_records
from braintumor_ext.metrics.segmentation import MaskScores, score_mask

__all__ = [
    "GroupBootstrap",
    "JointScore",
    "MaskScores",
    "SliceRecord",
    "group_bootstrap",
    "read_records",
    "score_mask",
    "summarise_evaluation",
    "write_records",
]
