"""The training's loss."""

from braintumor_ext.losses.joint_loss import JointLoss

__all__ = ["JointLoss"]
