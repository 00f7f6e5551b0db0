"""Schema migrations, their online DDL, and the detection of schema drift."""
