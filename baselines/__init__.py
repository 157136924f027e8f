"""Finetuning methods to compare with; the registry imports every module in this folder."""
