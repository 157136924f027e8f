"""Methods that hold the weights near the pretrained ones."""
