"""One model behind HTTP: requests gathered into batches, limits, metrics, a page to try it."""
