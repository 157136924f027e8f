"""Encoders as classifiers: loading them, finding their parts, pooling, additions, and export as plain checkpoints."""
