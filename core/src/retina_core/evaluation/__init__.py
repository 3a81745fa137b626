"""What synthetic pairs are worth: metrics, the protocol, likeness, and what the report draws."""
