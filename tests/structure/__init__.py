"""Tests that read the project itself: its imports, its documents, its files."""
