"""Code that the evaluate metrics and their Spaces share."""
