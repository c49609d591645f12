"""Features of images: what a linear classifier can use better than pixels."""
