"""Tests of the MONAI Deploy app: it runs in its own environment, as a command."""
