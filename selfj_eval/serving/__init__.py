"""A judge behind HTTP: requests that arrive together are judged in one batch."""
