"""Reports in Markdown: their templates, and numbers and tables that look the same in all of them."""

from braintumor_ext.reporting.markdown import NONE, number, table, with_interval, with_median
from braintumor_ext.reporting.template import render, render_from

__all__ = ["NONE", "number", "render", "render_from", "table", "with_interval", "with_median"]
