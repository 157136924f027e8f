"""Controls: what remains of the mixup's gain when only its averaging, its extra steps or its dropout are kept."""
