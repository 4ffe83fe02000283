"""The programs in examples/, run as a reader would run them."""
