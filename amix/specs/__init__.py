"""Plain data about runs: specs and their keys, plans, tasks, encoders, recipes, stored records.

Nothing here imports torch, so plans, tables and figures do not need it.
"""
