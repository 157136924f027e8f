"""Finetuning methods to compare with, one file each: named after its registry key, in a folder named after its kind.

Several forms of one method may share a file named as the beginning of their keys (`rose` for rose_first, rose_second):
the registry looks for a method there, so that a worker imports no others. Files that start with an underscore hold code
that methods share.
"""
