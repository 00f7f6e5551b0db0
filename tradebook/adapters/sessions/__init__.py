"""Ad hoc sessions of applications, and the guard of their writes."""
