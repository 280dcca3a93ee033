"""Reports of an evaluation and an inference, and what all reports share: templates, numbers and tables."""

from braintumor_ext.reporting.evaluation_report import write_evaluation
from braintumor_ext.reporting.html_report import write_html_report
from braintumor_ext.reporting.markdown import NONE, number, share_of, table, with_count, with_interval, with_median
from braintumor_ext.reporting.template import render, render_from

__all__ = [
    "NONE",
    "number",
    "render",
    "render_from",
    "share_of",
    "table",
    "with_count",
    "with_interval",
    "with_median",
    "write_evaluation",
    "write_html_report",
]
