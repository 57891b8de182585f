"""Run an audit from data to report, compare audits, and make training subsets."""
