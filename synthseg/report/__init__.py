"""What a run looks like to people: one self-contained page, and the few lines the command line prints."""

from synthseg.report.build import build_report

__all__ = ["build_report"]
