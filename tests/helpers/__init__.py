"""What several tests share: toy encoders and suites, made-up records, stored reference numbers."""
