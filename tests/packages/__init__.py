"""The client packages, as their users get them."""
