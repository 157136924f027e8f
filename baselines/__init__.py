"""Finetuning methods to compare with, one file each: named after its registry key, in a folder named after its kind.

The registry imports every module in this package; files that start with an underscore hold code that methods share.
"""
