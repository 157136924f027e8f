"""The command line, python -m runners.

app.py gathers the commands, which are in files called *_commands.py, and reports errors in one line; sweep_steps.py has
the steps that commands with a sweep share. What a terminal shows is in progress.py (a sweep at work), interim.py (the
complete seeds so far), listings.py (methods, tasks, suites, plans) and safe_console.py; options and exit codes have
files of their own.
"""
