"""The console in a real browser, beside a real hub."""
