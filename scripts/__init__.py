"""The commands: ``python -m scripts.NAME``."""

from braintumor_ext.errors import explain_plainly

explain_plainly("scripts")  # here, so that it holds while a command imports what it needs
