"""The Method contract and its registry, the training loop that all methods share, and what both need.

- Methods: method.py (the hooks), multi_stage.py, method_info.py, settings.py; registry.py finds them, foreign_code.py
  runs those of users, stage_workers.py gives independent stages to other processes.
- Training: loop.py, fit.py (its state, as hooks see it), schedules.py, optimizers.py, weight_averaging.py and
  evaluation.py.
- padding.py: linear layers that compute a batch's tokens only.
- Large batches: micro_batches.py (a batch in parts), data_parallel.py (a run in several processes).
- cost.py measures seconds, passes, FLOPs and memory.
"""
