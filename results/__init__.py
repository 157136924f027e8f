"""From run records to claims. Imports no torch.

Code: loading, stats, analysis, tabulating. Data: records, tables, published.
"""
