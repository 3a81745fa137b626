"""A small classifier of grades: for samples without one, and to tell whether a drawn map shows the one it was asked for."""
