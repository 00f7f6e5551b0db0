"""The performance of an account: its equity curve."""
