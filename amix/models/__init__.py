"""Encoders as classifiers: fetching, loading and checking them, finding their parts, pooling, additions and export."""
