"""Interfaces that the service layer needs of a store."""
