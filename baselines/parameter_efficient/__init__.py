"""Methods that train few parameters: adapters, prompts, scales or biases."""
