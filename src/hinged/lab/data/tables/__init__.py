"""Tables of users: what their columns contain, their rows, and their encoding as numbers."""
