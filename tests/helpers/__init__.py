"""Helpers of several tests: toy encoders and suites, synthetic records, stored reference numbers."""
