"""Benchmarks: side by side with hand-written SQL in one run, as ratios. `make bench`."""
