"""Where the book is, and how to reach it: from code, from a URL, from the environment's variables."""

from tradebook.config.database import DatabaseConfig, Secret
from tradebook.config.environment import DatabaseEnvironment, Setting, variables_help

__all__ = ["DatabaseConfig", "DatabaseEnvironment", "Secret", "Setting", "variables_help"]
