"""Attention-guided weight mixup as a finetuning method, its presets, and the released code step by step.

method.py searches the attention on random splits (splits.py, split_search.py), averages the models and finetunes;
presets.py has the cheap and the official version. search_rules.py has the rules by which the attention moves, those of
ablations included (attention_after.py is one); mixed_training.py trains the task weights under a fixed attention.
search_tracker.py collects what a search notes, and diagnostics.py says what that is. released_code.py repeats the
official search with its bugs.
"""
