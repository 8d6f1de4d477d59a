"""One function from Graph to Graph per file."""
