"""Attention-guided weight mixup as a method: search on splits, averaging, second stage; presets, released code."""
