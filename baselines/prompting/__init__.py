"""Methods that rephrase a task as a sentence with a missing word."""
