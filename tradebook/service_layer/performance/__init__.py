"""How well an account did: its equity curve."""
