"""Finetuning methods to compare with; every module in this folder is imported when the registry is asked for a method."""
