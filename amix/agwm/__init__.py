"""Attention-guided weight mixup as a finetuning method, its presets, and the released code step by step."""
