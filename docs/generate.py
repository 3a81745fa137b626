"""Writes what the reference pages say of the code, from the code: ``python docs/generate.py``.

A page keeps its hand-written text; what stands between these two lines is written anew::

    <!-- generated: NAME, by docs/generate.py -->
    <!-- end of NAME -->

``--check`` writes nothing and ends with status 1 where a page would change; ``tests/workspace/test_docs_reference.py``
does the same.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from retina_cli.group import RetinaGroup
from retina_cli.main import main as retina
from retina_core import errors, hookspecs
from retina_core.config import PRESETS, DataConfig, StageConfig
from retina_core.evaluation import curve, figures, matrix, scores, shares
from retina_core.formats import stage_card
from retina_core.grading.settings import GraderSettings
from retina_core.registry import Registry, Row
from retina_core.specs import ROLES

DOCS = Path(__file__).resolve().parent
PLUGINS = sorted(path.parent.name for path in DOCS.parent.glob("plugins/*/pyproject.toml"))
"""Those of this repository; others that are installed are not described here."""

_BLOCK = re.compile(
    r"(<!-- generated: ([\w-]+), by docs/generate\.py -->\n).*?(<!-- end of \2 -->)", re.DOTALL
)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    """A value as code; nothing for nothing."""
    text = "" if value is None else str(value)
    return f"`{text}`" if text else ""


# Commands


def commands() -> str:
    """A section for each command: what it does, how it is called, its options."""
    context = click.Context(retina, info_name="retina")
    return "\n\n".join(_command(command, within) for command, within in leaves(retina, context))


def leaves(group: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command that does something, in the order of ``retina --help``."""
    if not isinstance(group, RetinaGroup):
        yield group, context
        return
    for name in group.table:
        command = group.get_command(context, name)
        if command is not None:
            yield from leaves(command, click.Context(command, info_name=name, parent=context))


def _command(command: click.Command, context: click.Context) -> str:
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    head = f"## {' '.join([context.command_path, *arguments])}"
    told = [_option(p, context) for p in command.params if isinstance(p, click.Option)]
    parts = [head, inspect.cleandoc(command.help or ""), "\n".join(told)]
    return "\n\n".join(part for part in parts if part)


def _option(option: click.Option, context: click.Context) -> str:
    metavar = "" if option.is_flag else f" {_metavar(option, context)}"
    default = "" if option.required or option.is_flag else option.get_default(context)
    facts = [
        "required" if option.required else "",
        "repeatable" if option.multiple and "epeatable" not in (option.help or "") else "",
        f"default {code(default)}" if isinstance(default, (str, int)) and str(default) else "",
    ]
    said = ", ".join(fact for fact in facts if fact)
    # Click shows some defaults in brackets in the help itself.
    meaning = re.sub(r"\s*\[default: (.*?)\]", r" Default: \1.", option.help or "").strip()
    return f"- `{option.opts[0]}{metavar}`{f' ({said})' if said else ''}: {meaning}"


def _metavar(option: click.Option, context: click.Context) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    if isinstance(option.type, click.IntRange):
        return "N"
    return option.make_metavar(context)


# Hooks


def offering_hooks() -> str:
    """What a plugin may offer."""
    rows = [[code(name), _returned(name), _first_line(name)] for name in hookspecs.OFFER_HOOKS]
    return table(["hook", "returns", "for"], rows)


def observing_hooks() -> str:
    """What a plugin may listen to."""
    names = [n for n in vars(hookspecs) if n.startswith("retina_") and n not in hookspecs.OFFER_HOOKS]
    rows = [[code(f"{name}({', '.join(_arguments(name))})"), _first_line(name)] for name in names]
    return table(["hook", "is told"], rows)


def _returned(name: str) -> str:
    return code(str(inspect.signature(getattr(hookspecs, name)).return_annotation))


def _arguments(name: str) -> list[str]:
    return list(inspect.signature(getattr(hookspecs, name)).parameters)


def _first_line(name: str) -> str:
    """What the hook's docstring says that a plugin offers or observes."""
    text = " ".join((inspect.getdoc(getattr(hookspecs, name)) or "").split()).rstrip(".")
    return _plain(re.sub(r"^(Offer|Observe) ", "", text))


def _plain(text: str) -> str:
    """Code in a docstring's double backticks, in Markdown's single ones."""
    return text.replace("``", "`")


# Settings


def configs() -> str:
    """The settings of every stage, of the data, and of the classifier of grades."""
    registry = Registry.discover(only=",".join(PLUGINS))
    sections = []
    for role in ROLES:
        for name in registry.names(role):
            spec = registry.stage(name, role)
            if role == "evaluator" and name in registry.names("segmenter"):
                continue  # the same settings as the segmenter's
            head = f"## {registry.reference(spec)}\n\n{spec.summary}. See [its page](stages/{name}.md)."
            sections.append(f"{head}\n\n{_settings(registry.config_class(spec))}")
    told = "What can be set about the data: `--set data.KEY=VALUE`."
    sections.append(f"## data\n\n{told}\n\n{_settings(DataConfig)}")
    told = "The classifier of grades of `retina annotate --grades`: `--set grader.KEY=VALUE`."
    return "\n\n".join([*sections, f"## grader\n\n{told}\n\n{_settings(GraderSettings)}"])


def _settings(config: type[StageConfig]) -> str:
    rows = []
    for row in config.describe():
        unit = f", in {row.unit}" if row.unit else ""
        source = f" ({row.source})" if row.source else ""
        values = [code(row.presets.get(preset, "")) for preset in PRESETS]
        kind = re.sub(r"Literal\[(.*)\]", lambda found: found[1].replace("'", ""), row.type)
        rows.append([code(row.name), kind, _value(row.default), *values, f"{row.meaning}{unit}{source}"])
    return table(["setting", "type", "default", *PRESETS, "meaning"], rows)


def _value(value: object) -> str:
    return code(",".join(map(str, value)) if isinstance(value, tuple) else value)


# Files


def fields(kind: type) -> str:
    """A table of the fields of a class that becomes JSON."""
    return table(
        ["key", "holds", "meaning"], [[code(name), held, said] for name, held, said in _fields(kind)]
    )


def figure_kinds() -> str:
    """Every kind of figure with its fields, and the parts that they are made of."""
    kinds = [_figure(kind.kind, kind) for kind in typing.get_args(figures.Figure)]
    parts = (figures.Series, figures.Bar, figures.BarSeries, figures.Picture, figures.NearestPair)
    within = [_figure(part.__name__, part) for part in parts]
    return "\n".join([*kinds, "", "Within them:", "", *within])


def sweep_table() -> str:
    """The keys of ``sweep.json``, and of the parts within it."""
    return of_parts(shares.SweepTable, shares.SweptShare, shares.ChannelRow, shares.Measured)


def of_parts(whole: type, *parts: type) -> str:
    """The keys of a class that becomes JSON, and of those within it."""
    told = [f"`{part.__name__}`:\n\n{fields(part)}" for part in parts]
    return "\n\n".join([fields(whole), "Within it:", *told])


def _figure(name: str, kind: type) -> str:
    told = [
        f"`{key}` {held}{f' ({said})' if said else ''}" for key, held, said in _fields(kind) if key != "kind"
    ]
    summary = _plain(inspect.getdoc(kind) or "")
    return f"- **{name}**: {summary[:1].lower()}{summary[1:]} {'; '.join(told)}"


def _fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """Name, JSON type and meaning (the docstring under it) of each field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = next(_aliases(node), node.target.id)
            yield name, _in_json(node.annotation), _sentence(_docstring(after))


def _aliases(node: ast.AnnAssign) -> Iterator[str]:
    """The name in the file, where a field has another one there."""
    for keyword in node.value.keywords if isinstance(node.value, ast.Call) else []:
        if keyword.arg == "alias" and isinstance(keyword.value, ast.Constant):
            yield str(keyword.value.value)


WORDS = {
    **{"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Any": "any value"},
    **{"Role": "a role", "Share": "number from 0 to 1"},
}
"""Python's types, and names that stand for such, in the words of JSON."""


def _in_json(kind: ast.expr) -> str:
    """A type as the words of JSON: ``tuple[str, ...]`` is a list of text."""
    if isinstance(kind, ast.Constant):
        return "null" if kind.value is None else code(repr(kind.value).replace("'", '"'))
    if isinstance(kind, ast.BinOp):
        return f"{_in_json(kind.left)} or {_in_json(kind.right)}"
    if not isinstance(kind, ast.Subscript):
        return WORDS.get(ast.unparse(kind), ast.unparse(kind))
    parts = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
    outer = ast.unparse(kind.value)
    if outer in {"Literal", "Annotated"}:
        return " or ".join(map(_in_json, parts if outer == "Literal" else parts[:1]))
    return (
        f"{_in_json(parts[0])} -> {_in_json(parts[1])}"
        if outer == "dict"
        else f"list of {_in_json(parts[0])}"
    )


def _sentence(text: str) -> str:
    """A field's docstring as a cell of a table, in the words of JSON."""
    return _plain(re.sub(r"\bNone\b", "null", re.sub(r"(?<!\.)\.$", "", text)))


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


# Contracts and errors


def contracts() -> str:
    """Every contract class with its promises, which are its tests' names."""
    from retina_core import testing

    kinds = [getattr(testing, name) for name in testing.__all__ if name.endswith("Contract")]
    # What others build on comes first; among these alone, because whoever runs this may have loaded more.
    kinds.sort(key=lambda kind: -sum(issubclass(other, kind) for other in kinds))
    return "\n\n".join(_contract(kind) for kind in kinds)


def _contract(kind: type) -> str:
    above = [f"`{base.__name__}`" for base in kind.__bases__ if base.__name__.endswith("Contract")]
    also = f" Everything of {' and '.join(above)}" if above else ""
    promises = [_promise(name, test) for name, test in vars(kind).items() if name.startswith("test_")]
    also += (", and:" if promises else ".") if also else ""
    home = inspect.getdoc(sys.modules[kind.__module__]) or ""
    return "\n\n".join(filter(None, [f"## {kind.__name__}", f"{home}{also}", "\n".join(promises)]))


def _promise(name: str, test: Callable[..., object]) -> str:
    words = name.removeprefix("test_").replace("_", " ")
    slow = any(mark.name == "slow" for mark in getattr(test, "pytestmark", ()))
    return f"- {words}{' (marked `slow`)' if slow else ''}"


def error_tree() -> str:
    """The tree that ``retina_core.errors`` opens with."""
    drawn = (errors.__doc__ or "").split("\n\n")[1]
    return f"```text\n{textwrap.dedent(drawn).rstrip()}\n```"


BLOCKS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "offering-hooks": offering_hooks,
    "observing-hooks": observing_hooks,
    "configs": configs,
    "list-rows": lambda: fields(Row),
    "stage-card": lambda: fields(stage_card.StageCard),
    "scores": lambda: fields(scores.Score),
    "figures": figure_kinds,
    "sweep": sweep_table,
    "curve": lambda: of_parts(curve.LearningCurve, curve.CurvePoint),
    "transfer": lambda: of_parts(matrix.Transfer, matrix.TransferSet, matrix.TransferCell),
    "contracts": contracts,
    "error-tree": error_tree,
}
"""Name of a block -> what writes it."""


def rewritten(text: str) -> str:
    """A page with its generated blocks written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n\n{found[3]}", text)


def pages() -> dict[Path, str]:
    """Each page that has generated blocks, as it should be."""
    found = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    return {path: rewritten(text) for path, text in found.items() if _BLOCK.search(text)}


def main() -> int:
    """Write the pages that changed, or with ``--check`` say which they are."""
    check, changed = "--check" in sys.argv[1:], []
    for path, text in pages().items():
        if path.read_text(encoding="utf-8") != text:
            changed.append(path.relative_to(DOCS).as_posix())
            if not check:
                path.write_text(text, encoding="utf-8")
    if changed:
        said = "out of date" if check else "written anew"
        sys.stdout.write("".join(f"docs/{name}: {said}\n" for name in changed))
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
