"""Finetuning methods to compare with: one file per method, named as its registry key, in a folder named as its kind.

The registry imports every module in here; files with an underscore hold what several methods share.
"""
