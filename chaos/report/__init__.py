"""The report of an experiment: JSON for machines, a page that needs nothing but itself for people."""

from chaos.report.page import html
from chaos.report.store import ReportStore

__all__ = ["ReportStore", "html"]
