"""Reports as jinja2 templates, which lie beside this file."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from braintumor_ext.data.classes import display_name
from braintumor_ext.reporting.markdown import NONE, number, table, with_interval, with_median


def render(name: str, **values: Any) -> str:
    """Return a template's text.

    Args:
        name: the file under ``templates``, such as ``evaluation.md``.
        values: what it is given; a name that it uses and is not given is an error.
    """
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    # Markdown, not HTML: what a report is given is escaped by table() where it would break a cell.
    environment = Environment(
        loader=PackageLoader("braintumor_ext.reporting"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "display_name": display_name,
        "number": number,
        "with_interval": with_interval,
        "with_median": with_median,
    }
    environment.globals |= {"table": table, "NONE": NONE}
    return environment
