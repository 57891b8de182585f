"""Publications on the Hub: the metrics as Spaces, datasets, and reports."""
