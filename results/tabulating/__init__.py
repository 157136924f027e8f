"""Tables: one file per table, their collection, and the generated parts of the READMEs."""
