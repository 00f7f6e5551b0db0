"""One trade through other libraries, each as its own good users would write it. See `outcomes.py` for the work."""
