"""Controls: the mixup's averaging alone, its extra steps alone, and plain finetuning without dropout."""
