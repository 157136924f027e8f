"""From a suite file to the runs that it asks for.

suite_file.py defines a suite's fields and suite.py reads it; seeds.py, tuning_grid.py, tuned_settings.py, overrides.py
and chosen.py work out its rows; plan.py makes the jobs (job.py), and described.py the plan that is stored beside their
records. single_run.py is a suite of one run, cluster_file.py describes a cluster. torch is not imported before a method
is looked up.
"""
