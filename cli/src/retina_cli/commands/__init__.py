"""One file for each command: it parses, builds a request, calls the core and prints."""
