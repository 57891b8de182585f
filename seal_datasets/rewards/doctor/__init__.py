"""Whether a reward model's scores depend on anything but the text, and by how much."""
