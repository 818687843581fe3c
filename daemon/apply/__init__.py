"""One run from start to end: observe, plan, write."""
