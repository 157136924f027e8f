"""From the records of runs to statistics, claims and tables. Imports no torch.

Code is in loading, stats, analysis and tabulating; data are in records, tables and published.
"""
