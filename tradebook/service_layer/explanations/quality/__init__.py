"""Decision quality: calibration and counterfactuals, by prices of the book or of a caller."""
