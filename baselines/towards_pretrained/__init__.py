"""Methods that keep the weights near the pretrained ones."""
