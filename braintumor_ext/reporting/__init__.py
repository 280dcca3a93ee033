"""Reports: their templates, numbers and tables that look the same in all of them, and the report of an inference."""

from braintumor_ext.reporting.html_report import write_html_report
from braintumor_ext.reporting.markdown import NONE, number, table, with_interval, with_median
from braintumor_ext.reporting.template import render, render_from

__all__ = ["NONE", "number", "render", "render_from", "table", "with_interval", "with_median", "write_html_report"]
