"""What lies on disk: files that appear whole or not at all, and never run what they hold."""
