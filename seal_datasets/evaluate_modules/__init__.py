"""What the evaluate metrics and their Spaces share."""
