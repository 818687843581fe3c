"""One run from begin to end: observe, plan, write."""
