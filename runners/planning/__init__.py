"""From a suite file to the runs that it asks for. torch is not imported before a method is looked up."""
