"""From a suite file to the runs it asks for. Imports no torch before a method is looked up."""
