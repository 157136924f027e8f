"""Methods that put a task into words that the pretrained model knows."""
