"""Methods that train on modified or mixed examples."""
