"""One reader of graphs per target."""
