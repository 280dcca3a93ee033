"""Reports as jinja2 templates, which lie beside this file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from braintumor_ext.classes import display_name
from braintumor_ext.reporting.markdown import (
    NONE,
    cell,
    number,
    share_of,
    table,
    with_count,
    with_interval,
    with_median,
)


def render(template: str, /, **values: Any) -> str:
    """Return the text of one of this package's templates.

    Args:
        template: the file under ``templates``, such as ``evaluation.md``.
        values: what it is given; a name that it uses and is not given is an error.
    """
    return render_from(__package__, template, **values)


def generate(template: str, /, **values: Any) -> Iterator[str]:
    """Yield the text that :func:`render` returns, piece by piece, for one that is large."""
    return _environment(__package__).get_template(template).generate(values)


def render_from(package: str, template: str, /, **values: Any) -> str:
    """Return the text of a template that lies in the folder ``templates`` of any package.

    Args:
        package: its name; the template may import those of this package, such as ``context.md``.
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    # In Markdown what a report is given is escaped by table() where it would break a cell.
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "base64": _base64,
        "cell": cell,
        "display_name": display_name,
        "number": number,
        "percent": "{:.1%}".format,
        "sha256": lambda text: _base64(hashlib.sha256(text.encode()).digest()),
        "share_of": share_of,
        "thousands": "{:,}".format,
        "with_count": with_count,
        "with_interval": with_interval,
        "with_median": with_median,
    }
    environment.globals |= {"table": table, "NONE": NONE}
    return environment


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
