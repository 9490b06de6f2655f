"""An HTTP server for one model: requests gathered into batches, limits, metrics, a page to try it."""
