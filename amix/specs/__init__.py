"""Plain data about runs: specs and their keys, plans, tasks, encoders, recipes, stored records.

Nothing here imports torch, so that plans, tables and figures are made without it.
"""
