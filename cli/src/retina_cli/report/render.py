"""From a run folder to ``report.html``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from retina_cli.report import sections
from retina_cli.report.galleries import legend, real_samples, synthetic_pairs
from retina_cli.report.run_folder import RunContents, made_by, read_run, section
from retina_cli.report.series import SeriesPage, series_page
from retina_cli.report.sweep import sweep_section
from retina_cli.report.words import account, few_eyes
from retina_core.errors import PathError
from retina_core.formats.atomic import write_text


def write_report(run: Path, *, with_real: bool = False) -> Path:
    """Write ``report.html`` into a run folder, whole or not at all; what the run has not made is said there.

    Args:
        run: the run folder, or one of several runs: of a learning curve, or a matrix of data sets.
        with_real: show real photographs too, under a banner that says so.

    Returns:
        The report: one file that loads nothing, a megabyte or two.

    Raises:
        PathError: there is no run in the folder; or there are several, and real photographs are asked for.
        RunFolderError: its ``run.json`` is damaged, or the table of several runs is.
        StorageError: the report cannot be written.
    """
    run = Path(run)
    series = series_page(run)
    page = _render_series(run, series, with_real) if series else _render(read_run(run), with_real=with_real)
    report = run / "report.html"
    write_text(report, page)
    return report


def _environment() -> Environment:
    # Names come from users and from files: everything is escaped.
    return Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render_series(folder: Path, page: SeriesPage, with_real: bool) -> str:
    if with_real:
        raise PathError(folder, "its report shows no photograph", "give the folder of one of the runs in it")
    return (
        _environment()
        .get_template("series.html.j2")
        .render(
            style=Markup(_source("style.css")),  # noqa: S704  # our own file
            page=page,
            folder=folder.resolve().name,
        )
    )


def _render(contents: RunContents, *, with_real: bool) -> str:
    request, phantom = section(contents.run, "request"), bool(contents.facts.get("phantom"))
    evaluations = sections.evaluation_sections(contents, with_real=with_real)
    sweep = sweep_section(contents)
    real, no_real = real_samples(contents) if with_real else ([], "")
    return (
        _environment()
        .get_template("template.html.j2")
        .render(
            style=Markup(_source("style.css")),  # noqa: S704  # our own file
            title=" → ".join(str(request.get(stage, "?")) for stage in made_by(contents.run)),
            data_name=str(contents.facts.get("name", "unknown data")),
            folder=contents.folder.resolve().name,
            phantom=phantom,
            with_real=with_real,
            account=account(contents),
            problems=contents.problems,
            steps=sections.steps(contents),
            few_eyes=few_eyes(contents),
            findings=[
                *(sweep.findings if sweep else ()),
                *(said for one in evaluations for said in one.findings),
            ],
            sweep=sweep,
            evaluations=evaluations,
            pairs=synthetic_pairs(contents),
            pair_count=len(contents.pairs),
            legend=legend(contents),
            real=real,
            no_real=no_real,
            training=sections.training_charts(contents),
            run_rows=sections.run_rows(contents),
            data_rows=sections.data_rows(contents),
            settings=sections.settings(contents),
        )
    )


def _source(name: str) -> str:
    return files("retina_cli.report").joinpath(name).read_text(encoding="utf-8")
