"""Runners: one call, its transaction and its retries."""
