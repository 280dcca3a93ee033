"""Options of ``python -m monai.bundle run``: known and used as given, or one line says what to write.

MONAI takes an option that the config does not have for a new entry of it, which nothing uses: ``--epoch 5`` would train
100 epochs. And two programs change paths on the way. Python Fire reads each value as Python where it can:
``2024_03_11`` becomes the number 20240311, ``a,b`` a tuple, ``a#b`` the text ``a``. MONAI's parser takes ``@`` and
``%`` at the beginning for a reference and a macro, and writes ``::`` for ``#``.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import monai.bundle
from monai.bundle import ConfigParser

from braintumor_ext.config_text import verbatim
from braintumor_ext.errors import InputError, explain_plainly

PATH_OPTIONS = (
    "bundle_root",
    "cache_dir",
    "calibration",
    "checkpoint",
    "ckpt_dir",
    "datalist",
    "dataset_dir",
    "exported",
    "output_dir",
    "pretrained",
)
"""The options of the bundle's configs that are paths."""

_RUN_OPTIONS = {
    *inspect.signature(monai.bundle.run).parameters,
    *inspect.signature(monai.bundle.run_workflow).parameters,
}
_NONE = ("none", "None", "null", "")
_SWITCHES = ("true", "false", "True", "False")  # `pretrained` is one, too


def guard_command_line() -> None:
    """Let ``python -m monai.bundle`` tell errors plainly, and check its options; the configs initialize this first."""
    explain_plainly("monai.bundle")
    check_names()
    check_paths()


def check_names(arguments: Sequence[str] | None = None) -> None:
    """Raise where an option on the command line is none of the config's, so that nothing would heed it.

    A new entry is one on purpose where another option refers to it: ``--rate 0.01 --optimizer::lr @rate``.

    Args:
        arguments: as :func:`check_paths` takes them.

    Raises:
        InputError: it names the entries of the config that are alike.
    """
    if (options := _of_bundle_run(arguments)) is None:
        return
    config = _config_of(options)
    if config is None:  # MONAI says what is wrong with the files
        return
    referred = " ".join(value or "" for _, value in options)
    for name, _ in options:
        if name in _RUN_OPTIONS or re.search(rf"[@%]{re.escape(name)}\b", referred):
            continue
        if (near := _absent(config, name.removeprefix("+"))) is not None:
            hint = f"Did you mean {' or '.join(f'--{id_}' for id_ in near)}?" if near else "Leave it away"
            raise InputError(f"--{name}", "the config has no such entry: it would change nothing", hint)


def _config_of(options: Sequence[tuple[str, str | None]]) -> dict[str, Any] | None:
    files = [_read_by_fire(value) for name, value in options if name == "config_file" and value is not None]
    try:
        return ConfigParser.load_config_files(files[-1]) if files else None
    except Exception:  # a file of any kind
        return None


def _absent(config: Mapping[str, Any], name: str) -> list[str] | None:
    """Return the ids that are like a name which nothing would use; None for one that is used."""
    level: Any = config
    parts = name.split("::")
    for depth, part in enumerate(parts):
        if isinstance(level, Mapping) and part not in level:
            if "_target_" in level and depth == len(parts) - 1:
                return None  # a further argument
            before = "::".join(parts[:depth])
            alike = difflib.get_close_matches(part, [key.removeprefix("+") for key in level])
            return [f"{before}::{key}" if before else key for key in alike]
        if not isinstance(level, Mapping):
            return None  # an entry of a list, or what a reference stands for
        level = level[part]
    return None


def check_paths(arguments: Sequence[str] | None = None) -> None:
    """Raise where a path on the command line would not reach the config as it was given.

    Args:
        arguments: the command line with the program's name; ``sys.argv`` if None. That of another program than
            ``monai.bundle`` is not looked at.

    Raises:
        InputError: it says what to write instead.
    """
    for name, value in _of_bundle_run(arguments) or ():
        if name in PATH_OPTIONS:
            _check(name, value)


def _of_bundle_run(arguments: Sequence[str] | None) -> list[tuple[str, str | None]] | None:
    """Return the options of a command line of ``monai.bundle``, None for another program's."""
    given = sys.argv if arguments is None else list(arguments)
    ours = Path(given[0]).parts[-3:] == ("monai", "bundle", "__main__.py")
    return list(_options(given[1:])) if ours else None


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the options as Python Fire finds them; the value is None where there is none."""
    for argument, following in zip(arguments, [*arguments[1:], None], strict=True):
        if not argument.startswith("--"):
            continue
        name, equals, joined = argument[2:].partition("=")
        behind = None if following is None or following.startswith("--") else following
        yield name.replace("-", "_"), joined if equals else behind


def _check(name: str, value: str | None) -> None:
    if value is None:
        raise InputError(f"--{name}", "is given without a path", "Write the path behind it")
    if value.startswith("$") or value in _NONE or (name == "pretrained" and value in _SWITCHES):
        return  # an expression is meant as one
    understood = _read_by_fire(value)
    if isinstance(understood, str) and understood == _unquoted(value) and verbatim(understood) == understood:
        return
    if value.startswith("@"):
        problem = f"{value} would be taken for a reference into the config"
    elif understood != value and not (isinstance(understood, str) and "#" in value):
        problem = f"{value} would be taken for {understood!r}"
    else:
        problem = f"{value} would be changed on the way: '#' has a meaning in configs"
    remedy = f"Write --{name} {writing_of(value)}"
    if value.startswith("@"):
        remedy += f" for the path, --{name} {shlex.quote('$' + value)} for the reference"
    raise InputError(f"--{name}", problem, remedy)


def writing_of(path: str) -> str:
    """Return what to write on the command line, quoted for a shell, so that a config gets this very path."""
    plain = path if path.startswith(("/", "./", "../")) else f"./{path}"
    if verbatim(plain) == plain and _read_by_fire(plain) == plain:
        return shlex.quote(plain)
    expression = verbatim(plain)
    if "'" not in plain and '"' not in plain:  # easier to read: no quotes within quotes of the same kind
        expression = f'$"{expression[2:-1]}"' if expression.startswith("$'") else f'$"{plain}"'
    return shlex.quote(expression)


def _read_by_fire(value: str) -> Any:
    from fire.parser import DefaultParseValue  # what MONAI's command line reads values with

    return DefaultParseValue(value)


def _unquoted(value: str) -> str:
    """Return the text in a value that is quoted for Python, too; any other value as it is."""
    try:
        found = ast.literal_eval(value) if value[:1] in "'\"" else value
    except (SyntaxError, ValueError):
        return value
    return found if isinstance(found, str) else value
