"""A Table as Markdown, LaTeX (booktabs), CSV, an HTML fragment, or a rich table for the terminal."""

from results.tabulating.render.csv import csv_text
from results.tabulating.render.html import html_table
from results.tabulating.render.latex import latex, latex_text
from results.tabulating.render.markdown import markdown
from results.tabulating.render.terminal import terminal

__all__ = ["csv_text", "html_table", "latex", "latex_text", "markdown", "terminal"]
