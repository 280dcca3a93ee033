"""The MONAI Label apps over HTTP, in their own environment."""
