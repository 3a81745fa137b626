"""Weak labels: maps and grades that trained stages fill in where nobody annotated, written as a data set."""
