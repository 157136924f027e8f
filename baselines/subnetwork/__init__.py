"""Methods that update a part of the weights, chosen once or repeatedly."""
