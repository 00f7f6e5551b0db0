"""Files of venues and programs: how their columns, numbers and times become trades and cash flows."""
