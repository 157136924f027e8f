"""Methods that train on changed or mixed examples."""
