"""The report of a run: one HTML file that needs no network."""

from retina_cli.report.render import write_report

__all__ = ["write_report"]
