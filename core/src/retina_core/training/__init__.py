"""How every stage is trained: one loop, and what it stands on."""
