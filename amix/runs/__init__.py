"""One run from its spec to its record, whether it succeeds or fails.

execute.py does it; context.py is what a run needs besides its spec, environment.py describes software and machine for
the record, scoring.py scores the finished model, and out_of_domain_scores.py does so on data from other sources.
"""
