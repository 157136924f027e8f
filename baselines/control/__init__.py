"""Controls: what remains of the mixup's gain if only its averaging, its extra steps or its dropout is kept."""
