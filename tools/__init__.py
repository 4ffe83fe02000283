"""Programs for maintainers. Not part of any package."""
