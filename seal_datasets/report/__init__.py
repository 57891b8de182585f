"""Compute the numbers of an audit from its table, and render its report."""
